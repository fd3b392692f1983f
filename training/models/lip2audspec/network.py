"""Lip2AudSpec's networks: an autoencoder of columns, and from five frames to twenty codes.

Legend: N windows, T = 5 frames, H = W pixels, M = 128 bands, D = 32 code, C = 20 columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.data.auditory import BANDS
from training.layers.sequences import widened
from training.models.lip2audspec.config import CONTEXT_FRAMES, WINDOW_FRAMES, Lip2AudSpecShape

CODE, COLUMNS = 32, 20
CONVOLUTIONS = (
    (32, True, 0.0),
    (32, True, 0.0),
    (32, True, 0.25),
    (64, False, 0.0),
    (64, True, 0.25),
    (128, False, 0.0),
    (128, True, 0.25),
)
"""Channels, whether the picture is halved behind it, dropout."""
HALVED = 2 ** sum(halves for _, halves, _ in CONVOLUTIONS)
MEMORY, MEMORY_DROPOUT, DENSE, DENSE_DROPOUT = 512, 0.25, 2048, 0.4
SLOPE, EPSILON = 0.3, 1e-3
"""The defaults of the code's library."""
PACE = 0.02
"""How much a step tells a running mean (inferred)."""


class Coder(nn.Module):
    """Columns [n, M] -> codes [n, D] in 0..1 -> columns; 170,848 parameters.

    The loss leaves open what is the same everywhere, so a running mean of what the columns lack is
    kept and given back by `columns` (inferred; loud and soft would come out wrong else).
    """

    lacks: Tensor

    def __init__(self, shape: Lip2AudSpecShape) -> None:
        super().__init__()
        first, second, third = (widened(size, shape.coder_width) for size in (512, 128, 64))
        self.narrow = nn.Linear(third, CODE)
        self.encoder = nn.Sequential(
            *_dense(BANDS, first), *_dense(first, second), *_dense(second, third)
        )
        self.squash = nn.Sequential(nn.BatchNorm1d(CODE, EPSILON), nn.Sigmoid())
        self.decoder = nn.Sequential(
            *_dense(CODE, third), *_dense(third, second), nn.Linear(second, BANDS)
        )
        self.noise = shape.noise
        self.register_buffer("lacks", torch.zeros(()))

    def code(self, columns: Tensor) -> Tensor:
        return self.squash(self.narrow(self.encoder(columns)))

    def forward(self, columns: Tensor) -> Tensor:
        """There and back, with noise on the code in training."""
        code = self.code(columns)
        if self.training and self.noise:
            code = code + self.noise * torch.randn_like(code)
        return self.decoder(code)

    def columns(self, codes: Tensor) -> Tensor:
        """[..., D] -> [..., M], as loud as what was learnt from."""
        return self.decoder(codes.reshape(-1, CODE)).unflatten(0, codes.shape[:-1]) + self.lacks


def _dense(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Linear(inputs, outputs),
        nn.BatchNorm1d(outputs, EPSILON),
        nn.LeakyReLU(SLOPE),
    ]


class Eyes(nn.Module):
    """Windows [N, 3, T, H, W] -> codes [N, D, C] in 0..1; 12,695,104 parameters.

    Batch norms are of channels, as that number has it; the code's, by its library's default, are of
    the window's frames. Time is put first before the LSTM, where the code reshapes across axes.
    """

    lacks: Tensor

    def __init__(self, shape: Lip2AudSpecShape) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for number, (wanted, halves, dropout) in enumerate(CONVOLUTIONS):
            size = shape.scaled(wanted)
            is_last = number == len(CONVOLUTIONS) - 1
            layers += [
                nn.Conv3d(before, size, 3, padding=1),
                nn.BatchNorm3d(size, EPSILON),
                nn.ELU() if is_last else nn.LeakyReLU(SLOPE),
            ]
            layers += [nn.MaxPool3d((1, 2, 2))] if halves else []
            layers += [nn.Dropout(dropout * shape.dropout)] if dropout else []
            before = size
        self.convolutions = nn.Sequential(*layers)
        seen = before * (shape.picture_px // HALVED) ** 2
        memory, dense = shape.scaled(MEMORY), shape.scaled(DENSE)
        # One bias a gate, as in the code's library: the weight of an input that is always 1.
        self.memory = nn.LSTM(seen + 1, memory, bias=False, batch_first=True)
        self.remembered = nn.Sequential(
            nn.BatchNorm1d(memory, EPSILON), nn.ELU(), nn.Dropout(MEMORY_DROPOUT * shape.dropout)
        )
        self.dense = nn.Sequential(
            nn.Linear(WINDOW_FRAMES * memory, dense),
            nn.BatchNorm1d(dense, EPSILON),
            nn.ELU(),
            nn.Dropout(DENSE_DROPOUT * shape.dropout),
            nn.Linear(dense, CODE * COLUMNS),
            nn.Sigmoid(),
        )
        self.register_buffer("lacks", torch.zeros(()))
        self._begin(memory)

    def _begin(self, memory: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        weights = dict(self.memory.named_parameters())
        told = weights["weight_ih_l0"]
        with torch.no_grad():
            nn.init.kaiming_normal_(told)
            nn.init.orthogonal_(weights["weight_hh_l0"])
            told[:, -1] = 0.0
            told[memory : 2 * memory, -1] = 1.0  # what is kept at first

    def forward(self, windows: Tensor) -> Tensor:
        seen = self.convolutions(windows).transpose(1, 2).flatten(2)
        told, _ = self.memory(torch.cat([seen, seen.new_ones(*seen.shape[:2], 1)], 2))
        told = self.remembered(told.transpose(1, 2)).transpose(1, 2)
        return self.dense(told.flatten(1)).unflatten(1, (CODE, COLUMNS))

    def told(self, windows: Tensor) -> Tensor:
        """With what codes lack in the mean, within 0..1."""
        return (self(windows) + self.lacks).clamp(0, 1)


class Lip2AudSpec(nn.Module):
    """Both."""

    def __init__(self, shape: Lip2AudSpecShape) -> None:
        super().__init__()
        self.coder, self.eyes = Coder(shape), Eyes(shape)

    def columns(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 5 n + 2, H, W] -> auditory columns [B, 20 n, M] of all but the first two."""
        windows = windows_in(pictures)
        codes = self.eyes.told(windows.flatten(0, 1)).transpose(1, 2)
        return self.coder.columns(codes).reshape(len(pictures), -1, BANDS)


def windows_in(pictures: Tensor) -> Tensor:
    """Grey pictures [B, 5 n + 2, H, W] -> windows [B, n, 3, T, H, W]: each frame from 0 to 1 by
    its own darkest and lightest pixel, what it changed, and how that changed. The first two frames
    are there for the differences."""
    flat = pictures.float().flatten(2)
    flat = flat - flat.amin(2, keepdim=True)
    still = (flat / flat.amax(2, keepdim=True).clamp_min(1e-6)).unflatten(2, pictures.shape[2:])
    change = still.diff(dim=1)
    kept = (still[:, CONTEXT_FRAMES:], change[:, 1:], change.diff(dim=1))
    return torch.stack(kept, 2).unflatten(1, (-1, WINDOW_FRAMES)).transpose(2, 3)
