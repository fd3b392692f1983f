"""What the mel decoder looks at: keys and values of the frames, by convolutions of four widths.

Legend: B batch, N frames, C channels, T columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.layers.sequences import SequenceBatchNorm, zero_outside

KERNELS = (1, 3, 7, 11)
"""The authors' code; the paper says "1-D convolution filters" (3.5)."""
SLOWEST = 10_000.0


class Sine(nn.Module):
    """w sin(x) with w learnt for each channel, the last dimension (the authors' code)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x.sin()


class Linear(nn.Linear):
    """Xavier's uniform weights, as in Tacotron 2's code."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.xavier_uniform_(self.weight)


def positions(places: Tensor, channels: int) -> Tensor:
    """Sinusoidal positions (Vaswani et al. 2017) of float [T] -> [T, C]: sines and cosines in
    turn."""
    pair = torch.arange(channels, device=places.device) // 2
    angles = places[:, None] / SLOWEST ** (2 * pair / channels)
    is_sine = torch.arange(channels, device=places.device) % 2 == 0
    return torch.where(is_sine, angles.sin(), angles.cos())


class SeveralWidths(nn.Module):
    """[B, C, N] -> [B, C, N]: the input and four convolutions of it, side by side, to C again."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, channels, k, padding=k // 2) for k in KERNELS
        )
        self.norms = nn.ModuleList(SequenceBatchNorm(channels) for _ in KERNELS)
        self.joined = nn.Conv1d((len(KERNELS) + 1) * channels, channels, 1)
        self.sine = Sine(channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = zero_outside(x, mask)
        beside = [x]
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            beside.append(nn.functional.silu(norm(convolve(x), mask)))
        return self.sine(self.joined(torch.cat(beside, 1)).transpose(1, 2)).transpose(1, 2)


class Attention(nn.Module):
    """Of queries [B, 1, C] to `keys` [B, C, N], by a temperature that is learnt.

    In the authors' code it begins at the root of C and multiplies, so that nearly all weight lies
    on one frame; here, in the paper's variant, it begins at one over the root, as in the paper that
    3.5 takes its positions from (inferred).
    """

    def __init__(self, channels: int, outputs: int, is_sharp: bool, dropout: float) -> None:
        super().__init__()
        root = math.sqrt(channels)
        self.temperature = nn.Parameter(torch.tensor([root if is_sharp else 1 / root]))
        self.dropout = nn.Dropout(dropout)
        self.out = Linear(channels, outputs)

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What is found [B, 1, outputs] in values [B, N, C], and the weights [B, 1, N]."""
        logits = self.dropout(torch.bmm(query * self.temperature, keys))
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None], -torch.inf)
        weights = logits.softmax(2)
        return self.out(torch.bmm(weights, values)), weights
