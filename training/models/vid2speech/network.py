"""Vid2Speech's network: convolutions on nine grey frames as channels (arielephrat/vid2speech).

Legend: N clips, K = 9 frames, H = W = 128 pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.data.line_spectrum import NUM_VALUES
from training.models.vid2speech.config import Vid2SpeechShape

STAGES = (((32,), 0.0), ((32, 32), 0.25), ((64, 64), 0.25), ((128, 128), 0.25), ((128, 128), 0.5))
"""Channels of each stage's convolutions, and the dropout behind its pool."""
DENSE, SLOPE, DENSE_DROPOUT = 512, 0.3, 0.5
EPSILON = 1e-3
"""Of the batch norms: the code's library adds so much to a variance."""


class ColumnNorm(nn.BatchNorm2d):
    """Batch norm of [N, C, H, W] whose statistics are the columns', W of them."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.transpose(1, 3)).transpose(1, 3)


class Vid2Speech(nn.Module):
    """[N, K, H, W] about 0 -> [N, 18] of mean 0 and deviation 1; 1,917,650 parameters."""

    def __init__(self, shape: Vid2SpeechShape) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size, columns = shape.context_frames, shape.picture_px
        for number, (channels, dropout) in enumerate(STAGES):
            for i, wanted in enumerate(channels):
                outputs = shape.scaled(wanted)
                is_last = number == len(STAGES) - 1 and i == len(channels) - 1
                layers += [
                    nn.Conv2d(size, outputs, 3, padding=1),
                    nn.BatchNorm2d(outputs, EPSILON)
                    if shape.norms == "channels"
                    else ColumnNorm(columns, EPSILON),
                    nn.Tanh() if is_last else nn.LeakyReLU(SLOPE),
                ]
                size = outputs
            layers += [nn.MaxPool2d(2), nn.Dropout(dropout * shape.dropout)]
            columns //= 2
        self.convolutions = nn.Sequential(*layers)
        side, dense = shape.picture_px // 2 ** len(STAGES), shape.scaled(DENSE)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(size * side * side, dense),
            nn.BatchNorm1d(dense, EPSILON),
            nn.Tanh(),
            nn.Dropout(DENSE_DROPOUT * shape.dropout),
            nn.Linear(dense, dense),
            nn.BatchNorm1d(dense, EPSILON),
            nn.Linear(dense, NUM_VALUES),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, clips: Tensor) -> Tensor:
        return self.dense(self.convolutions(clips))


def clips_in(pictures: Tensor, context: int) -> Tensor:
    """Pictures [B, n + K - 1, H, W] -> clips [B, n, K, H, W]."""
    return torch.movedim(pictures.unfold(1, context, 1), -1, 2)
