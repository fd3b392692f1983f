"""How a clip's pictures are varied in training: drawn with the row, done on the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.data.loader import Batch
from training.data.mixture import Row


def drawn_look(row: Row, mirror: bool, brightness: float) -> dict[str, bool | np.float32]:
    """`mirror`, for half of the rows if wanted, and `light`, a factor of 1 +- brightness."""
    draw = row.random("look")
    mirrored, light = draw.random() < 0.5, draw.uniform(-1, 1)
    return {"mirror": bool(mirror and mirrored), "light": np.float32(1 + brightness * light)}


def varied(batch: Batch) -> Tensor:
    """`video` uint8 [B, T, H, W] or [B, T, H, W, 3] as the rows' looks have it, float32."""
    pictures = tensor(batch["video"])
    mirror = tensor(batch["mirror"]).reshape(-1, *[1] * (pictures.dim() - 1))
    pictures = torch.where(mirror, pictures.flip(3), pictures)
    return (pictures.float() * tensor(batch["light"]).reshape(mirror.shape)).clamp(0, 255)


def tensor(value: Tensor | list[str]) -> Tensor:
    """A column of a batch that is one of numbers."""
    assert isinstance(value, Tensor)
    return value
