"""YuNet: 75 thousand parameters, run by onnxruntime at any size.

Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector" (Machine Intelligence Research 20).
For each cell of three grids (strides of 8, 16 and 32 px) the network says how likely it holds a
face (`cls`, `obj`) and where the face's box lies about it (`bbox`: shift of the middle in cells,
and logarithms of its sides in cells).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.backends.boxes import HouseBox
from stages.backends.devices import onnx_session
from stages.backends.letterbox import STRIDE, letterboxes
from stages.backends.weights import weights
from stages.base import SetupError

STRIDES_PX = (8, 16, 32)
OUTPUTS = tuple(f"{kind}_{stride}" for stride in STRIDES_PX for kind in ("cls", "obj", "bbox"))


class YuNet:
    """The published file takes one picture at a time, so a batch is a loop here."""

    name, version = "yunet", "2"
    weights_name = "face_detection_yunet_2026may.onnx"
    whole_picture, batch_size, batched = True, 8, False
    side_px = 640
    min_score, keep_score, max_overlap = 0.6, 0.3, 0.3
    house = HouseBox(0.037, 0.798)

    def __init__(self, device: str = "cpu", side_px: int | None = None) -> None:
        self.device_name = device
        self.side_px = side_px or self.side_px
        self.threshold = self.keep_score
        self._session: Any = None

    def setup(self) -> None:
        """Open the file. Raises SetupError."""
        if self._session is not None:
            return
        path = weights(self.weights_name)
        try:
            session = onnx_session(path, self.device_name)
        except SetupError:
            raise
        except Exception as error:  # onnxruntime has no common base for what a bad file raises
            raise SetupError(f"{path} cannot be opened: {error}") from error
        if not {o.name for o in session.get_outputs()}.issuperset(OUTPUTS):
            raise SetupError(f"{path} is no YuNet: it has not the outputs {', '.join(OUTPUTS)}")
        self._session = session

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """As `protocols.Detector`. Boxes are whole faces, from the hairline to the chin."""
        self.setup()
        found = []
        for batch in letterboxes(pictures, self.batch_size, self.side_px):
            for picture, scale in zip(batch.pictures, batch.scales, strict=True):
                boxes, scores = self._seen(picture)
                found.append((boxes / scale, scores))
        return found

    def _seen(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 [H, W, 3] RGB, sides filled up to the stride -> boxes xyxy float32 [N, 4] px and
        scores [N], best first."""
        height, width = (-(-side // STRIDE) * STRIDE for side in picture.shape[:2])
        blue_first = np.zeros((1, 3, height, width), np.float32)
        blue_first[0, :, : picture.shape[0], : picture.shape[1]] = picture[..., ::-1].transpose(
            2, 0, 1
        )
        given = self._session.run(OUTPUTS, {"input": blue_first})
        boxes, scores = [], []
        for number, stride in enumerate(STRIDES_PX):
            is_face, is_there, shape = (values[0] for values in given[3 * number : 3 * number + 3])
            own = np.sqrt(np.clip(is_face[:, 0], 0, 1) * np.clip(is_there[:, 0], 0, 1))
            cells = np.flatnonzero(own >= self.threshold)
            rows, columns = np.divmod(cells, width // stride)
            middle = (np.stack([columns, rows], 1) + shape[cells, :2]) * stride
            half = np.exp(shape[cells, 2:]) * stride / 2
            boxes.append(np.concatenate([middle - half, middle + half], 1))
            scores.append(own[cells])
        return best_apart(
            np.concatenate(boxes).astype(np.float32),
            np.concatenate(scores).astype(np.float32),
            self.max_overlap,
        )


def best_apart(
    boxes: np.ndarray, scores: np.ndarray, max_overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes xyxy [N, 4] and scores [N], best first, without those that overlap a better one by
    more than `max_overlap` (intersection over union)."""
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    is_left, kept = np.ones(len(boxes), bool), []
    for i in range(len(boxes)):
        if not is_left[i]:
            continue
        kept.append(i)
        low = np.maximum(boxes[i, :2], boxes[:, :2])
        high = np.minimum(boxes[i, 2:], boxes[:, 2:])
        inner = np.clip(high - low, 0, None).prod(1)
        is_left &= inner <= max_overlap * np.maximum(areas[i] + areas - inner, 1e-9)
    return boxes[kept], scores[kept]
