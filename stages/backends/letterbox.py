"""Pictures of any size in batches of one size, and the best boxes of each, on the device.

A picture is scaled to fit and set in the top left corner, the rest is black. Where all pictures
of a batch have one shape, as frames of one video do, the black is only what fills the network's
stride.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

STRIDE = 32


@dataclass(frozen=True)
class Batch:
    """`pictures` uint8 [N, H, W, 3] RGB, and `scales` [N]: letterbox px per picture px."""

    pictures: np.ndarray
    scales: np.ndarray


def letterbox(
    pictures: Sequence[np.ndarray], side: int, square: bool = False, step: int = STRIDE
) -> Batch:
    """uint8 [H, W] or [H, W, 3] each -> a batch whose longer side is `side` px.

    `square` for networks that take nothing else. Otherwise sides are filled up to multiples of
    `step` px.
    """
    scales = [side / max(p.shape[:2]) for p in pictures]
    sizes = [
        (max(1, min(side, round(p.shape[1] * s))), max(1, min(side, round(p.shape[0] * s))))
        for p, s in zip(pictures, scales, strict=True)
    ]
    width, height = side, side
    if not square and len(set(sizes)) == 1:
        width, height = (-(-length // step) * step for length in sizes[0])
    output = np.zeros((len(pictures), height, width, 3), np.uint8)
    for target, picture, size, scale in zip(output, pictures, sizes, scales, strict=True):
        shown = (
            picture
            if picture.shape[1::-1] == size
            else cv2.resize(
                picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            )
        )
        target[: size[1], : size[0]] = shown if shown.ndim == 3 else shown[..., None]
    return Batch(output, np.array(scales, np.float32))


def letterboxes(
    pictures: Sequence[np.ndarray], batch_size: int, side: int, square: bool = False
) -> Iterator[Batch]:
    """`letterbox` of so many pictures at a time."""
    for start in range(0, len(pictures), batch_size):
        yield letterbox(pictures[start : start + batch_size], side, square)


def to_device(pictures: np.ndarray, device: Any) -> Any:
    """uint8 [N, H, W, 3] RGB -> float32 tensor [N, 3, H, W], still 0..255.

    The copy to a GPU is of bytes, from pinned memory; the conversion is made there.
    """
    import torch

    tensor = torch.from_numpy(pictures)
    if device.type == "cuda":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return tensor.permute(0, 3, 1, 2).float()


def half_precision(device: Any) -> Any:
    """Context: float16 on a GPU where that is safe, float32 on a CPU."""
    import torch

    return torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")


def best(
    boxes: Any, scores: Any, batch: Batch, min_score: float, max_overlap: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes [N, A, 4] in letterbox px and scores [N, A] -> per picture (boxes xyxy float32 px
    of the picture, scores), best first, without those that overlap a better one.

    Everything but the last copy happens where the tensors are. Each picture is suppressed by
    itself: torchvision's `batched_nms` moves pictures apart by the largest coordinate among all
    of them, so that its rounding depends on the neighbours in the batch.
    """
    import torch
    from torchvision.ops import nms

    rows, columns = torch.nonzero(scores >= min_score, as_tuple=True)  # in the pictures' order
    chosen, values = boxes[rows, columns].float(), scores[rows, columns].float()
    counts = torch.bincount(rows, minlength=len(scores)).tolist()
    kept = [
        torch.cat([b, v[:, None]], 1)[nms(b, v, max_overlap)]
        for b, v in zip(chosen.split(counts), values.split(counts), strict=True)
    ]
    packed = torch.cat(kept).cpu().numpy()
    parts = np.split(packed, np.cumsum([len(k) for k in kept])[:-1])
    return [(own[:, :4] / scale, own[:, 4]) for own, scale in zip(parts, batch.scales, strict=True)]
