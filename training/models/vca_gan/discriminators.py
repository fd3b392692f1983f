"""Who judges VCA-GAN's spectrograms: a discriminator a scale, and one of synchrony.

Legend: B batch, T frames, D features of the picture, R rows, C columns, M = 80 bands.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.vca_gan.config import VcaGanShape
from training.models.vca_gan.network import FEATURES, ROWS, SLOPE, Block, Mels

HALVINGS = (2, 3, 4)
"""Of each scale's map; all come down to five rows."""
FIRST_CHANNELS, MOST_CHANNELS = 32, 512


class _Halving(nn.Module):
    """[B, i, R, C] -> [B, o, R / 2, C / 2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, inputs, 5, 1, 2)
        self.second = nn.Conv2d(inputs, outputs, 5, 1, 2)
        self.around = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.avg_pool2d(self.first(functional.leaky_relu(x, SLOPE)), 2)
        inner = self.second(functional.leaky_relu(inner, SLOPE))
        return (inner + functional.avg_pool2d(self.around(x), 2)) / math.sqrt(2)


class Discriminator(nn.Module):
    """Mel [B, 1, R, C] and context [B, D] -> two scores [B, 1]: of the mel alone, and of both."""

    def __init__(self, shape: VcaGanShape, halvings: int) -> None:
        super().__init__()
        sizes = [min(FIRST_CHANNELS * 2**n, MOST_CHANNELS) for n in range(halvings + 1)]
        channels = [shape.scaled(size) for size in sizes]
        last, features = channels[-1], shape.scaled(FEATURES)
        self.main = nn.Sequential(
            nn.Conv2d(1, channels[0], 5, 1, 2),
            *(_Halving(a, b) for a, b in zip(channels, channels[1:], strict=False)),
        )
        self.alone = _Score(last)
        self.join = nn.Conv2d(last + features, last, 5, 1, 2)
        self.joined = _Score(last)

    def forward(self, mel: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        found = self.main(mel)
        tiled = context[:, :, None, None].expand(-1, -1, *found.shape[2:])
        both = torch.cat([found, tiled], 1)
        return self.alone(found), self.joined(self.join(functional.leaky_relu(both, SLOPE)))


class _Score(nn.Module):
    """[B, c, 5 or more, 5 or more] -> [B, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(channels, channels, 5)
        self.say = nn.Linear(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.look(functional.leaky_relu(x, SLOPE)), SLOPE)
        return self.say(x.mean((2, 3)))


class SyncNetwork(nn.Module):
    """Mel [B, 1, 80, 4 T] -> what is heard at each frame [B, T, D], in the local features' space;
    4,100,224 parameters."""

    def __init__(self, shape: VcaGanShape) -> None:
        super().__init__()
        first, second = shape.scaled(128), shape.scaled(256)
        self.layers = nn.Sequential(
            nn.Conv2d(1, first, 3, 2, 1),
            nn.BatchNorm2d(first),
            nn.PReLU(first),
            nn.Conv2d(first, second, 3, 2, 1),
            nn.BatchNorm2d(second),
            nn.PReLU(second),
            Block(second, second, learnt=False),
        )
        self.join = nn.Linear(second * ROWS, shape.scaled(FEATURES))

    def forward(self, mel: Tensor) -> Tensor:
        return self.join(self.layers(mel).flatten(1, 2).transpose(1, 2))


class Critics(nn.Module):
    """Three discriminators (3,263,202, 9,850,594 and 32,921,314 parameters) and the sync network,
    which one optimizer moves."""

    def __init__(self, shape: VcaGanShape) -> None:
        super().__init__()
        self.scales = nn.ModuleList(Discriminator(shape, halvings) for halvings in HALVINGS)
        self.sync = SyncNetwork(shape)

    def forward(self, mels: Mels, context: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Scores of the three scales; context [B, D], a mean over time."""
        return [judge(mel, context) for judge, mel in zip(self.scales, mels, strict=True)]
