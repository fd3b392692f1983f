"""ShuffleNet V2 (Ma et al. 2018) without its first layers and its classifier.

Legend: B batch, C channels, H = W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

UNITS = (4, 8, 4)
"""Of each stage, the first of which halves the picture (table 5 there)."""


def pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def depthwise(channels: int, stride: int) -> list[nn.Module]:
    of_each = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    return [of_each, nn.BatchNorm2d(channels)]


def shuffled(x: Tensor) -> Tensor:
    """Channels of two halves in turn: a0 b0 a1 b1 ..."""
    return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


class Unit(nn.Module):
    """Half of the channels as they are, half through a branch (figure 3c there)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            *pointwise(half, half), *depthwise(half, 1), *pointwise(half, half)
        )

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, 1)
        return shuffled(torch.cat([kept, self.branch(changed)], 1))


class HalvingUnit(nn.Module):
    """All channels through both branches of stride 2 (figure 3d there)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.short = nn.Sequential(*depthwise(inputs, 2), *pointwise(inputs, half))
        self.branch = nn.Sequential(
            *pointwise(inputs, half), *depthwise(half, 2), *pointwise(half, half)
        )

    def forward(self, x: Tensor) -> Tensor:
        return shuffled(torch.cat([self.short(x), self.branch(x)], 1))


class ShuffleNet(nn.Module):
    """[B, inputs, H, W] -> [B, features]: three stages, a 1 x 1 convolution, the mean over all
    places. Channels of the stages are even numbers."""

    def __init__(self, inputs: int, stages: Sequence[int], features: int) -> None:
        super().__init__()
        units: list[nn.Module] = []
        for channels, count in zip(stages, UNITS, strict=True):
            units.append(HalvingUnit(inputs, channels))
            units += [Unit(channels) for _ in range(count - 1)]
            inputs = channels
        self.units = nn.Sequential(*units)
        self.last = nn.Sequential(*pointwise(inputs, features))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.units(x)).mean((2, 3))
