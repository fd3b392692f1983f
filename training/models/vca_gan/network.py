"""VCA-GAN's generator side: visual front, decoder with attention at two scales, post-net.

    pictures -> 3D convolution, ResNet-18 -> local features phi -> GRUs -> context s
    noise, phi -> map of 20 rows -> (attention to s) -> 40 rows -> (attention) -> 80 rows of mel
    mel -> post-net -> 321 linear magnitudes

Layers are the published code's (`src/models/{visual_front,generator,resnet}.py`).
Legend: B batch, T frames (25 Hz), H = W pixels, D = 512 features, R rows, C columns, M = 80 bands.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.vca_gan.config import VcaGanShape

STAGES = (64, 128, 256, 512)
FEATURES, NOISE, MELS, BINS = 512, 128, 80, 321
ROWS = MELS // 4
"""Rows of the first map; each of two later stages doubles rows and columns."""
KEYS = 256
MEAN, DEVIATION = 0.4136, 0.17
"""Of grey mouths in 0..1, the code's."""
SLOPE = 0.2


class Block(nn.Module):
    """Two 3x3 convolutions and a way around them, each ending in a PReLU a channel, or a ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, learnt: bool = True) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.around: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.around = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.inner = nn.PReLU(outputs) if learnt else nn.ReLU()
        self.outer = nn.PReLU(outputs) if learnt else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.second(self.inner(self.first(x))) + self.around(x))


class VisualFront(nn.Module):
    """Pictures [B, T, H, W] in 0..255 -> local features [B, T, D] and context [B, T, D]."""

    def __init__(self, shape: VcaGanShape) -> None:
        super().__init__()
        sizes = [shape.scaled(channels) for channels in STAGES]
        first = sizes[0]
        self.stem = nn.Sequential(
            nn.Conv3d(1, first, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(first),
            nn.PReLU(first),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        blocks: list[nn.Module] = []
        before = first
        for number, size in enumerate(sizes):
            blocks += [Block(before, size, 2 if number else 1), Block(size, size)]
            before = size
        self.resnet = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(shape.dropout)
        self.memory = nn.GRU(
            before, before, 2, batch_first=True, bidirectional=True, dropout=shape.dropout
        )
        self.join = nn.Linear(2 * before, before)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.stem(((pictures / 255 - MEAN) / DEVIATION)[:, None]).transpose(1, 2)
        found = self.resnet(seen.flatten(0, 1)).mean((2, 3)).unflatten(0, seen.shape[:2])
        local = self.dropout(found)
        return local, self.join(self.memory(local)[0])


class Growing(nn.Module):
    """[B, i, R, C] -> [B, o, R, C], or twice as many rows and columns; variance is kept."""

    def __init__(self, inputs: int, outputs: int, doubles: bool = False) -> None:
        super().__init__()
        self.doubles = doubles
        self.norms = nn.ModuleList([nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(inputs, outputs, 5, 1, 2), nn.Conv2d(outputs, outputs, 5, 1, 2)]
        )
        self.around: nn.Module = nn.Identity()
        if inputs != outputs:
            self.around = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.leaky_relu(self.norms[0](x), SLOPE)
        inner = self.convolutions[0](self._grown(inner))
        inner = self.convolutions[1](functional.leaky_relu(self.norms[1](inner), SLOPE))
        # A convolution of one point says the same before the doubling as behind it.
        return (inner + self._grown(self.around(x))) / math.sqrt(2)

    def _grown(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2, mode="nearest") if self.doubles else x


class Attention(nn.Module):
    """What of the context [B, T, D] belongs to each column of a map [B, c, R, C] -> [B, c/2, R, C].
    Frames that the mask bool [B, T] leaves out are not looked at."""

    def __init__(self, channels: int, rows: int, features: int, keys: int) -> None:
        super().__init__()
        self.ask = nn.Linear(channels * rows, keys)
        self.keys, self.values = nn.Linear(features, keys), nn.Linear(features, keys)
        self.tell = nn.Linear(keys, channels // 2 * rows)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        asked = self.ask(x.flatten(1, 2).transpose(1, 2))
        alike = asked @ self.keys(context).transpose(1, 2) / math.sqrt(asked.shape[2])
        if mask is not None:
            alike = alike.masked_fill(~mask[:, None], float("-inf"))
        told = self.tell(alike.softmax(2) @ self.values(context))
        return told.unflatten(2, (x.shape[2], -1)).permute(0, 3, 2, 1)


class Mels(NamedTuple):
    """Guesses in +-1 at three scales, [B, 1, 20, T], [B, 1, 40, 2 T], [B, 1, 80, 4 T]."""

    coarse: Tensor
    middle: Tensor
    fine: Tensor


class Decoder(nn.Module):
    """Local features and context [B, T, D], noise [B, n, 20, T] -> `Mels`."""

    def __init__(self, shape: VcaGanShape) -> None:
        super().__init__()
        features, noise = shape.scaled(FEATURES), shape.scaled(NOISE)
        wide, half, first, second, third = map(shape.scaled, (512, 256, 128, 64, 32))
        self.coarse = nn.Sequential(
            Growing(features + noise, wide),
            Growing(wide, half),
            Growing(half, half),
            Growing(half, first),
            Growing(first, first),
            Growing(first, first),
        )
        self.middle = nn.Sequential(
            Growing(first, second, True), Growing(second, second), Growing(second, second)
        )
        self.fine = nn.Sequential(
            Growing(second, third, True), Growing(third, third), Growing(third, third)
        )
        keys = shape.scaled(KEYS)
        self.first_look = Attention(first, ROWS, features, keys)
        self.first_join = nn.Conv2d(first + first // 2, first, 5, 1, 2)
        self.second_look = Attention(second, 2 * ROWS, features, keys)
        self.second_join = nn.Conv2d(second + second // 2, second, 5, 1, 2)
        self.to_mel = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(size), nn.LeakyReLU(SLOPE), nn.Conv2d(size, 1, 1), nn.Tanh()
            )
            for size in (first, second, third)
        )

    def forward(
        self, local: Tensor, context: Tensor, noise: Tensor, mask: Tensor | None = None
    ) -> Mels:
        tiled = local.transpose(1, 2)[:, :, None].expand(-1, -1, ROWS, -1)
        coarse = self.coarse(torch.cat([tiled, noise], 1))
        looked = self.first_look(coarse, context, mask)
        middle = self.middle(self.first_join(torch.cat([coarse, looked], 1)))
        looked = self.second_look(middle, context, mask)
        fine = self.fine(self.second_join(torch.cat([middle, looked], 1)))
        return Mels(*(tell(x) for tell, x in zip(self.to_mel, (coarse, middle, fine), strict=True)))


class _Refining(nn.Module):
    """[B, i, C] -> [B, o, C]; no norms, as in the code."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, inputs, 5, 1, 2)
        self.second = nn.Conv1d(inputs, outputs, 5, 1, 2)
        self.around: nn.Module = nn.Identity()
        if inputs != outputs:
            self.around = nn.Conv1d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(functional.leaky_relu(x, SLOPE))
        inner = self.second(functional.leaky_relu(inner, SLOPE))
        return (inner + self.around(x)) / math.sqrt(2)


class MelToLinear(nn.Sequential):
    """Mel [B, 80, C] in +-1 -> linear magnitudes [B, 321, C]; nothing holds them above 0."""

    def __init__(self, shape: VcaGanShape) -> None:
        narrow, wide = shape.scaled(128), shape.scaled(256)
        super().__init__(
            nn.Conv1d(MELS, narrow, 7, 1, 3),
            nn.BatchNorm1d(narrow),
            nn.LeakyReLU(SLOPE),
            _Refining(narrow, wide),
            _Refining(wide, wide),
            _Refining(wide, wide),
            nn.Conv1d(wide, BINS, 1, bias=False),
        )


class VcaGan(nn.Module):
    """The generator's side: 51,810,275 parameters, of the front 19,588,096, decoder 30,477,283 and
    post-net 1,744,896."""

    def __init__(self, shape: VcaGanShape) -> None:
        super().__init__()
        self.noise_channels = shape.scaled(NOISE)
        self.front, self.decoder = VisualFront(shape), Decoder(shape)
        self.post_net = MelToLinear(shape)

    def forward(self, pictures: Tensor, noise: Tensor) -> tuple[Tensor, Mels]:
        """The finest mel of pictures [B, T, H, W] in 0..255 and of the same mirrored, averaged, as
        the code's test does -> magnitudes [B, 321, 4 T], and the mels."""
        both = [
            self.decoder(*self.front(seen.float()), noise) for seen in (pictures, pictures.flip(3))
        ]
        mels = Mels(*((one + other) / 2 for one, other in zip(*both, strict=True)))
        return self.post_net(mels.fine[:, 0]), mels
