"""The deblurring network in training: faces as they were, of faces that were blurred."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.every_fifth import EveryFifth
from training.data.loader import Batch
from training.data.mixture import Row
from training.harness.data import Parts
from training.harness.look import tensor
from training.harness.system import Criterion, Facts, Round, System
from training.losses.across import mean_of
from training.models.speech2vid.network import MADE
from training.models.speech2vid_deblur.config import BlurConfig, DeblurConfig
from training.models.speech2vid_deblur.network import Deblur, sharper

SHOWN = 8


def facts_of(parts: Parts, config: DeblurConfig) -> Facts:
    """None are needed."""
    return {}


def blurred(picture: np.ndarray, config: BlurConfig, scale: float) -> np.ndarray:
    """uint8 [h, w, 3] made smaller by `scale`, large again, and softer."""
    height, width = picture.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    kernel = (config.kernel_px, config.kernel_px)
    return cv2.GaussianBlur(large, kernel, config.sigma_px, borderType=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class DeblurDecode:
    """The loader's `decode`: `sharp` and `blurred` uint8 [n, 109, 109, 3]."""

    samples: EveryFifth
    blur: BlurConfig

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        pictures = np.asarray(self.samples.decode(sample, row)["video"])[:, MADE, MADE]
        scales = row.random("blur").uniform(self.blur.least_scale, 1, len(pictures))
        soft = [
            blurred(picture, self.blur, float(scale))
            for picture, scale in zip(pictures, scales, strict=True)
        ]
        return {"sharp": np.ascontiguousarray(pictures), "blurred": np.stack(soft)}


def decode_of(parts: Parts, config: DeblurConfig, facts: Facts) -> DeblurDecode:
    """What the loader makes of a sample."""
    return DeblurDecode(config.view, config.blur)


class DeblurSystem(System):
    """One player and the mean squared error (VDSR's, inferred)."""

    network: Deblur

    def __init__(self, config: DeblurConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.config = config
        self.network = Deblur(config.shape)
        self.criterion = Criterion("psnr", True)

    def rounds(self, batch: Batch) -> Iterator[Round]:
        soft, sharp = _pair(batch)
        loss = mean_of((self.network(soft) - sharp).square())
        yield Round("network", loss, {"mse": loss})

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Of a clip's faces, mean dB: `psnr` of what is made, `blurred` of what it is made of."""
        assert isinstance(network, Deblur)
        soft, sharp = _pair(batch)
        clips = len(batch["key"])
        found = [
            (-10 * (made - sharp).square().mean((1, 2, 3)).clamp_min(1e-10).log10())
            .unflatten(0, (clips, -1))
            .mean(1)
            for made in (sharper(network, soft), soft)
        ]
        return [{"psnr": float(a), "blurred": float(b)} for a, b in zip(*found, strict=True)]

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """A strip: blurred, made, and as they were."""
        assert isinstance(network, Deblur)
        soft, sharp = _pair(batch)
        rows = [torch.cat([*x[:SHOWN]], 2) for x in (soft, sharper(network, soft), sharp)]
        return {"strip": (torch.cat(rows, 1) * 255).byte().movedim(0, -1).cpu().numpy()}


def _pair(batch: Batch) -> tuple[Tensor, Tensor]:
    """Blurred and sharp faces, float32 [B n, 3, h, w] in 0..1."""
    soft, sharp = (
        tensor(batch[name]).flatten(0, 1).float().movedim(-1, 1) / 255
        for name in ("blurred", "sharp")
    )
    return soft, sharp
