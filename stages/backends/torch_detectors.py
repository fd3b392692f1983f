"""S3FD (face-alignment) and RetinaFace (facexlib): their networks, our batches and decoding.

S3FD: Zhang et al. 2017 (arXiv 1708.05237); the detector inside face-alignment. facexlib
publishes no S3FD. RetinaFace: Deng et al. 2019 (arXiv 1905.00641), as retrained by
biubug6/Pytorch_Retinaface, whose two networks facexlib publishes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from stages.backends.boxes import HouseBox
from stages.backends.devices import need
from stages.backends.letterbox import Batch, best, half_precision, letterboxes, to_device
from stages.backends.torch_network import TorchNetwork

BGR_MEAN = (104.0, 117.0, 123.0)
VARIANCES = (0.1, 0.2)
RETINA_SIZES = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
"""Stride and anchor sizes in px."""


class TorchDetector(TorchNetwork):
    """What the torch detectors share. Pictures are shown at `side_px` on their longer side."""

    name, version = "", "1"
    whole_picture, batch_size, batched = True, 8, True
    side_px = 640
    min_score, keep_score, max_overlap = 0.6, 0.3, 0.4
    house = HouseBox()

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self.threshold = self.keep_score

    def decode(self, output: Any, height: int, width: int) -> tuple[Any, Any]:
        """Network output -> (boxes xyxy [N, A, 4] px, scores [N, A])."""
        raise NotImplementedError

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        self.setup()
        return [
            found
            for batch in letterboxes(pictures, self.batch_size, self.side_px)
            for found in self.run(batch, self.threshold)
        ]

    def run(self, batch: Batch, threshold: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """Boxes xyxy float32 px of each picture, best first, and scores from `threshold` up."""
        import torch

        with torch.inference_mode(), half_precision(self.device):
            shown = to_device(batch.pictures, self.device).flip(1)
            shown = shown - torch.tensor(BGR_MEAN, device=self.device).view(1, 3, 1, 1)
            boxes, scores = self.decode(self._network(shown), *shown.shape[2:])
        return best(boxes, scores, batch, threshold, self.max_overlap)


class RetinaFace(TorchDetector):
    """Anchors of two sizes at strides 8, 16 and 32."""

    network_name = ""
    house = HouseBox(0.052, 0.769)

    def build(self) -> Any:
        module = need("facexlib.detection.retinaface", "facexlib")
        with warnings.catch_warnings():  # torchvision on an argument that facexlib still gives
            warnings.simplefilter("ignore", UserWarning)
            return module.RetinaFace(network_name=self.network_name, device="cpu")

    def decode(self, output: Any, height: int, width: int) -> tuple[Any, Any]:
        import torch

        offsets, scores, _ = output
        boxes = decode_offsets(offsets.float(), retina_priors(height, width, offsets.device))
        return torch.nan_to_num(boxes), scores[..., 1].float()


class RetinaFaceMobileNet(RetinaFace):
    """MobileNet 0.25: 0.4 million parameters."""

    name, network_name = "retinaface_mobilenet", "mobile0.25"
    weights_name = "retinaface_mobilenet0.25_Final.pth"


class RetinaFaceResNet50(RetinaFace):
    """ResNet-50: for GPUs."""

    name, network_name = "retinaface_resnet50", "resnet50"
    weights_name = "detection_Resnet50_Final.pth"


class S3FD(TorchDetector):
    """VGG-16 with heads at strides 4 to 128: for GPUs."""

    name, weights_name = "s3fd", "s3fd-619a316812.pth"
    max_overlap = 0.3
    house = HouseBox(0.044, 0.651)
    """RetinaFace's, smaller by 165 / 195: face-alignment's own ratio of the two boxes."""

    def build(self) -> Any:
        return need("face_alignment.detection.sfd.net_s3fd", "face-alignment").s3fd()

    def decode(self, output: Any, height: int, width: int) -> tuple[Any, Any]:
        import torch

        boxes, scores = [], []
        for level, (classes, offsets) in enumerate(zip(output[::2], output[1::2], strict=True)):
            stride = 4 * 2**level
            scores.append(classes.float().softmax(1)[:, 1].flatten(1))
            priors = grid_priors(*classes.shape[2:], stride, (4.0 * stride,), offsets.device)
            boxes.append(decode_offsets(offsets.float().flatten(2).transpose(1, 2), priors))
        return torch.nan_to_num(torch.cat(boxes, 1)), torch.cat(scores, 1)


@lru_cache(maxsize=64)
def grid_priors(
    rows: int, columns: int, stride: int, sizes: tuple[float, ...], device: Any = "cpu"
) -> Any:
    """Anchors (centre x, y, width, height) in px, float32 [rows * columns * len(sizes), 4].

    They are kept where they are needed: pictures come in few shapes.
    """
    import torch

    y, x, size = torch.meshgrid(
        (torch.arange(rows) + 0.5) * stride,
        (torch.arange(columns) + 0.5) * stride,
        torch.tensor([float(s) for s in sizes]),
        indexing="ij",
    )
    return torch.stack([x, y, size, size], -1).reshape(-1, 4).to(device)


def retina_priors(height: int, width: int, device: Any = "cpu") -> Any:
    """RetinaFace's anchors for a picture of this size, float32 [A, 4] px."""
    import torch

    return torch.cat(
        [
            grid_priors(-(-height // s), -(-width // s), s, sizes, device)
            for s, sizes in RETINA_SIZES
        ]
    )


def decode_offsets(offsets: Any, priors: Any) -> Any:
    """SSD's box code: offsets [N, A, 4] to anchors [A, 4] -> boxes xyxy [N, A, 4] px."""
    import torch

    centres = priors[:, :2] + offsets[..., :2] * VARIANCES[0] * priors[:, 2:]
    sizes = priors[:, 2:] * torch.exp(offsets[..., 2:] * VARIANCES[1])
    return torch.cat([centres - sizes / 2, centres + sizes / 2], -1)
