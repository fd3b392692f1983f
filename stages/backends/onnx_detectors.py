"""SCRFD (insightface, onnxruntime): Guo et al. 2021 (arXiv 2105.04714).

The published files take one square picture at a time, so a batch is a loop here; insightface opens
the file and decodes its nine outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.backends.boxes import HouseBox
from stages.backends.devices import open_insightface
from stages.backends.letterbox import letterboxes
from stages.backends.weights import weights


class Scrfd:
    """SCRFD 2.5G with five key points; other SCRFD files open alike."""

    name, version = "scrfd", "1"
    weights_name = "scrfd_2.5g_kps.onnx"
    whole_picture, batch_size, batched = True, 8, False
    side_px = 640
    min_score, keep_score, max_overlap = 0.4, 0.25, 0.4
    house = HouseBox(0.051, 0.794)

    def __init__(self, device: str = "cpu") -> None:
        self.device_name = device
        self.threshold = self.keep_score
        self._network: Any = None

    def setup(self) -> None:
        """Open the file. Raises SetupError (library, weights or GPU wanting)."""
        if self._network is None:
            self._network = open_insightface(
                lambda: weights(self.weights_name),
                "SCRFD",
                self.device_name,
                static_shape_sessions=False,
            )

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(boxes, scores) for boxes, scores, _ in self.detect_points(pictures)]

    def detect_points(
        self,
        pictures: Sequence[np.ndarray],
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """As `detect`, with float32 [N, 5, 2] px: eyes, nose, corners of the mouth, left to
        right in the picture."""
        import torch
        from torchvision.ops import nms

        self.setup()
        found = []
        for batch in letterboxes(pictures, self.batch_size, self.side_px, square=True):
            for picture, scale in zip(batch.pictures, batch.scales, strict=True):
                scores, boxes, points = (
                    np.concatenate(levels)
                    for levels in self._network.forward(
                        np.ascontiguousarray(picture[..., ::-1]), self.threshold
                    )
                )
                scores = scores.ravel().astype(np.float32)
                kept = nms(
                    torch.from_numpy(boxes.astype(np.float32)),
                    torch.from_numpy(scores),
                    self.max_overlap,
                ).numpy()
                found.append(
                    (
                        boxes[kept].astype(np.float32) / scale,
                        scores[kept],
                        points[kept].astype(np.float32) / scale,
                    )
                )
        return found


class Scrfd500m(Scrfd):
    """The smallest SCRFD."""

    name, weights_name = "scrfd_500m", "scrfd_500m_kps.onnx"
    house = HouseBox(0.046, 0.793)
