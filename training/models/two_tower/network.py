"""The two-tower network (Ephrat et al. 2017, section 4): towers, decoder, post-net.

Legend: B batch, N clips, K = 9 frames of a clip, H = 160 and W = 128 pixels, T frames in a row,
L = 4 T columns, M = 80 bands, F = 321 bins.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data.sound_features import EPHRAT_BANDS, EPHRAT_BINS
from training.layers.cbhg import Cbhg
from training.layers.sequences import COLUMNS_PER_FRAME
from training.models.two_tower.shape import STAGES, TwoTowerShape

DENSE = 1024


class Block(nn.Module):
    """1x1, 3x3, 1x1, each with batch norm, and a way around them (4.1).

    The stride is the middle convolution's (inferred): a strided 1x1 would never see three of four
    pixels.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shape: TwoTowerShape) -> None:
        super().__init__()
        self.slope = shape.slope
        sizes = ((inputs, 1, 1), (outputs, 3, stride), (outputs, 1, 1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(size, outputs, kernel, by, kernel // 2, bias=shape.biased)
            for size, kernel, by in sizes
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in sizes)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.around = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=shape.biased), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        around = self.around(x)
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(convolution(x))
            x = functional.leaky_relu(x + around if i == 2 else x, self.slope)
        return x


class Tower(nn.Module):
    """[N, C, H, W] -> [N, 512]: 160 x 128, then 80 x 64, 40 x 32, 20 x 16, 10 x 8, 5 x 4, mean.

    Where it halves is inferred: five halvings lead to the 5 x 4 of the text.
    """

    def __init__(self, inputs: int, shape: TwoTowerShape) -> None:
        super().__init__()
        self.slope = shape.slope
        size = shape.scaled(STAGES[0][0])
        self.stem = nn.Conv2d(inputs, size, 7, 2, 3, bias=shape.biased)
        self.norm = nn.BatchNorm2d(size)
        stages = []
        for channels, blocks in STAGES:
            outputs = shape.scaled(channels)
            made = [Block(size, outputs, 2, shape)]
            made += [Block(outputs, outputs, 1, shape) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*made, nn.Dropout(shape.conv_dropout)))
            size = outputs
        self.stages = nn.ModuleList(stages)
        self.num_features = size

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm(self.stem(x)), self.slope)
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
        return x.mean((2, 3))


class Decoder(nn.Module):
    """[N, 1024] -> [N, 4, M]: two layers of 1024, the second with tanh, and tanh at the end (4.2,
    5: "tanh in the last two layers")."""

    def __init__(self, inputs: int, shape: TwoTowerShape) -> None:
        super().__init__()
        size = shape.scaled(DENSE)
        self.slope = shape.slope
        self.first, self.first_norm = nn.Linear(inputs, size), nn.BatchNorm1d(size)
        self.second, self.second_norm = nn.Linear(size, size), nn.BatchNorm1d(size)
        self.dropout = nn.Dropout(shape.dense_dropout)
        self.out = nn.Linear(size, COLUMNS_PER_FRAME * EPHRAT_BANDS)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.first_norm(self.first(x)), self.slope)
        x = torch.tanh(self.second_norm(self.second(self.dropout(x))))
        x = torch.tanh(self.out(self.dropout(x)))
        return x.unflatten(1, (COLUMNS_PER_FRAME, EPHRAT_BANDS))


class TwoTower(nn.Module):
    """Towers, decoder, post-net; parts that the shape leaves out are None."""

    def __init__(self, shape: TwoTowerShape) -> None:
        super().__init__()
        self.shape = shape
        frames = shape.context_frames
        self.pixels = Tower(frames, shape) if shape.pixels else None
        self.flow = Tower(2 * (frames - 1), shape) if shape.flow else None
        features = sum(tower.num_features for tower in self.towers)
        self.decoder = Decoder(features, shape)
        self.post_net = Cbhg(EPHRAT_BANDS, EPHRAT_BINS, shape.width) if shape.post_net else None
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2 and "gru" not in name:
                nn.init.kaiming_normal_(parameter)  # 5: He et al.
            elif name.endswith(".bias") and "gate" not in name:
                nn.init.zeros_(parameter)

    @property
    def towers(self) -> list[Tower]:
        return [tower for tower in (self.pixels, self.flow) if tower is not None]

    def encode(self, pictures: Tensor, flow: Tensor | None) -> Tensor:
        """[N, K, H, W] about 0 and [N, 2 (K - 1), H, W] in pixels -> latent [N, 1024]."""
        found = []
        if self.pixels is not None:
            found.append(self.pixels(pictures))
        if self.flow is not None:
            assert flow is not None
            found.append(self.flow(flow))
        return torch.cat(found, 1)

    def mel(self, pictures: Tensor, flow: Tensor | None) -> Tensor:
        """Of each clip's central frame the four columns, [N, 4, M]."""
        return self.decoder(self.encode(pictures, flow))

    def linear(self, mel: Tensor) -> Tensor:
        """[B, L, M] -> [B, L, F]."""
        assert self.post_net is not None
        return self.post_net(mel)
