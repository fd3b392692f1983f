"""LR-ASD, the successor of Light-ASD: does this face speak at this frame? (code under MIT.)

Front ends, passes and the score's meaning are Light-ASD's (`stages/networks/light_asd.py`). Other
are the blocks, in which space (or cepstra) is convolved twice and then time twice, the fusion by a
gate over both embeddings, and the two GRUs, which run side by side. Names and shapes are those of
the released file, which loads strictly: 837 156 parameters.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.networks.light_asd import LightAsd, _Head

REACH_FRAMES = 9
"""Frames to either side that the picture encoder sees: three blocks of kernels 5 and 3 in time."""
_WIDTHS = ((1, 32), (32, 64), (64, 128))


class _Block(nn.Module):
    """Kernels 5 and 3 across space or cepstra (`first`: "s" or "m"), then 5 and 3 along time, each
    with batch norm and ReLU. The first one halves the channels, or the way to them."""

    def __init__(self, first: str, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = first
        for number, (size, low, high) in enumerate(
            ((5, inputs, outputs // 2), (3, outputs // 2, outputs)), 1
        ):
            half, step = size // 2, stride if number == 1 else 1
            across: nn.Module = (
                nn.Conv3d(low, high, (1, size, size), (1, step, step), (0, half, half), bias=False)
                if first == "s"
                else nn.Conv2d(low, high, (size, 1), 1, (half, 0), bias=False)
            )
            along: nn.Module = (
                nn.Conv3d(outputs, outputs, (size, 1, 1), 1, (half, 0, 0), bias=False)
                if first == "s"
                else nn.Conv2d(outputs, outputs, (1, size), 1, (0, half), bias=False)
            )
            norm = nn.BatchNorm3d if first == "s" else nn.BatchNorm2d
            self.add_module(f"{first}_{number}", across)
            self.add_module(f"{first}_norm_{number}", norm(high, eps=1e-3, momentum=0.01))
            self.add_module(f"t_{number}", along)
            self.add_module(f"t_norm_{number}", norm(outputs, eps=1e-3, momentum=0.01))

    def forward(self, x: Tensor) -> Tensor:
        for kind in (self.first, "t"):
            for number in (1, 2):
                x = getattr(self, f"{kind}_{number}")(x)
                x = functional.relu(getattr(self, f"{kind}_norm_{number}")(x))
        return x


class _VisualEncoder(nn.Module):
    """[B, 1, T, 112, 112], normalised -> [B, T, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.block1, self.block2, self.block3 = (
            _Block("s", low, high, 2 if low == 1 else 1) for low, high in _WIDTHS
        )
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.pool(self.block2(self.pool(self.block1(x)))))
        return x.amax((3, 4)).transpose(1, 2)


class _AudioEncoder(nn.Module):
    """[B, 1, 13, 4 T] -> [B, T, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.block1, self.block2, self.block3 = (_Block("m", low, high) for low, high in _WIDTHS)
        self.pool = nn.MaxPool2d((1, 3), (1, 2), (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.pool(self.block2(self.pool(self.block1(x)))))
        return x.mean(2).transpose(1, 2)


class _Gate(nn.Module):
    """[B, C, T] times a gate of its own making, 0 to 1."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attention = nn.Conv1d(size, size, 1, bias=False)
        self.bn = nn.BatchNorm1d(size, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.bn(self.attention(x)))


class _Detector(nn.Module):
    """Both directions of time side by side: [B, T, 256] -> [B, T, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.gru_forward = nn.GRU(256, 64, batch_first=True)
        self.gru_backward = nn.GRU(256, 64, batch_first=True)
        self.attention = _Gate(128)

    def forward(self, x: Tensor) -> Tensor:
        forward, _ = self.gru_forward(x)
        backward, _ = self.gru_backward(x.flip(1))
        both = torch.cat([forward, backward.flip(1)], 2)
        return self.attention(both.transpose(1, 2)).transpose(1, 2)


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visualEncoder = _VisualEncoder()
        self.audioEncoder = _AudioEncoder()
        self.fusion = _Gate(256)
        self.detector = _Detector()


class LrAsd(LightAsd):
    """The network with Light-ASD's front ends; `load` gives it weights and puts it in eval mode."""

    title: ClassVar[str] = "LR-ASD"
    reach_frames: ClassVar[int] = REACH_FRAMES

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.model = _Network()  # type: ignore[assignment]
        self.lossAV = _Head()
        self.lossV = _Head()

    @torch.inference_mode()
    def decide(self, seen: Tensor, heard: Tensor) -> np.ndarray:
        """Embeddings [T, 128] twice -> raw outputs float32 [T, 2]: (silent, speaks)."""
        if seen.shape != heard.shape:
            raise ValueError(f"{len(seen)} frames of pictures, {len(heard)} of sound")
        both = self.model.fusion(torch.cat([heard, seen], 1).T[None])  # type: ignore[operator]
        found = self.model.detector(both.transpose(1, 2))[0]  # type: ignore[operator]
        return self.lossAV.FC(found).float().cpu().numpy()
