"""Conformer (Gulati et al. 2020) with Transformer-XL's relative positions (Dai et al. 2019, 3.3).

SLTS's decoder has the encoder of the S size for GRID and TCD-TIMIT and of the M size for Lip2Wav
(Niu and Mak 4.4): 16 blocks, 4 heads, 144 or 256 channels (Gulati, table 1), nothing subsampled.

| number | source |
| --- | --- |
| order of a block, half steps of its feed-forward halves | Gulati 2.4 |
| feed-forward 4 times as wide | Gulati, table 6 |
| dropout .1 | Gulati 3.2 |
| kernel 31 | inferred: the table's 32 has no middle column, and would shift time by half of one |
| no bias in the map of positions | Dai 3.3; the parameter counts of 8,107,776 and 25,423,872 |
| no factor sqrt(D) at the entrance | inferred: positions are not added to the input |

Legend: B batch, T frames, D channels, H heads, E = D / H, R = 2 T - 1 distances.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.layers.sequences import SequenceBatchNorm, zero_outside


def relative_positions(length: int, channels: int, like: Tensor) -> Tensor:
    """Sines and cosines of the distances T - 1 .. -(T - 1), [R, D]; row n is T - 1 - n."""
    distances = torch.arange(length - 1, -length, -1.0, device=like.device)
    halves = torch.arange(0, channels, 2, device=like.device)
    angles = distances[:, None] * torch.exp(halves * (-math.log(10000.0) / channels))
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2).to(like.dtype)


def by_position(by_distance: Tensor) -> Tensor:
    """[B, H, T, R], entry n for the distance T - 1 - n, -> [B, H, T, T], entry j for i - j.

    Row i begins T - 1 - i entries later than the last row: one column of padding and another
    reading of the same memory shift every row by one more (Dai et al. 2019, appendix B).
    """
    batch, heads, length, distances = by_distance.shape
    padded = functional.pad(by_distance, (1, 0)).view(batch, heads, distances + 1, length)
    return padded[:, :, 1:].reshape(batch, heads, length, distances)[..., :length]


class RelativeAttention(nn.Module):
    """Self-attention whose score of i and j is
    (q_i + u) k_j + (q_i + v) W r_{i - j}, over sqrt(E) (Dai et al. 2019, 3.3)."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels are not {heads} heads of equal size")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self.position = nn.Linear(channels, channels, bias=False)
        # Zero: at the beginning no content and no distance is preferred.
        self.content_bias = nn.Parameter(torch.zeros(heads, 1, channels // heads))
        self.position_bias = nn.Parameter(torch.zeros(heads, 1, channels // heads))

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """`x` [B, T, D], `positions` [R, D]; keys that the mask [B, T] leaves out are not read."""
        query, key, value = (self._split(f(x)) for f in (self.query, self.key, self.value))
        distances = self._split(self.position(positions)[None])
        by_distance = (query + self.position_bias) @ distances.transpose(-2, -1)
        bias = by_position(by_distance) / math.sqrt(key.shape[-1])
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None, None], -math.inf)
        mixed = functional.scaled_dot_product_attention(
            query + self.content_bias,
            key,
            value,
            bias,
            self.dropout if self.training else 0.0,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, H, T, E]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """[B, T, D] -> [B, T, D], four times as wide within (Gulati 2.3)."""

    def __init__(self, channels: int, dropout: float, factor: int = 4) -> None:
        super().__init__(
            nn.LayerNorm(channels),
            nn.Linear(channels, factor * channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(factor * channels, channels),
            nn.Dropout(dropout),
        )


class ConvolutionModule(nn.Module):
    """[B, T, D] -> [B, T, D]: gate, depthwise convolution over time, batch norm (Gulati 2.2)."""

    def __init__(self, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel} has no middle column")
        self.norm = nn.LayerNorm(channels)
        self.enter = nn.Linear(channels, 2 * channels)
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.batch_norm = SequenceBatchNorm(channels)
        self.leave = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        gated = functional.glu(self.enter(self.norm(x))).transpose(1, 2)
        mixed = self.batch_norm(self.depthwise(zero_outside(gated, mask)), mask)
        return self.dropout(self.leave(functional.silu(mixed).transpose(1, 2)))


class ConformerBlock(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, norm (Gulati 2.4)."""

    def __init__(self, channels: int, heads: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.before = FeedForward(channels, dropout)
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = RelativeAttention(channels, heads, dropout)
        self.attention_dropout = nn.Dropout(dropout)
        self.convolution = ConvolutionModule(channels, kernel, dropout)
        self.after = FeedForward(channels, dropout)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        x = x + 0.5 * self.before(x)
        heard = self.attention(self.attention_norm(x), positions, mask)
        x = x + self.attention_dropout(heard)
        x = x + self.convolution(x, mask)
        return self.norm(x + 0.5 * self.after(x))


class Conformer(nn.Module):
    """[B, T, D] -> [B, T, D]."""

    def __init__(
        self,
        channels: int = 144,
        blocks: int = 16,
        heads: int = 4,
        kernel: int = 31,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConformerBlock(channels, heads, kernel, dropout) for _ in range(blocks)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The mask is [B, T]; where it is false the result is zero."""
        positions = relative_positions(x.shape[1], x.shape[2], x)
        for block in self.blocks:
            x = block(x, positions, mask)
        return x if mask is None else x.masked_fill(~mask[..., None], 0.0)
