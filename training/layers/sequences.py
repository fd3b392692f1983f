"""Sequences of unequal length, the clock's way from frames to columns, and widths.

Frame k of a clip is at 40 k ms (`manifests/clock.py`). Column j of a mel spectrogram with a hop of
160 samples and nothing but its window's overhang padded is centred on sample 160 j + 80, which is
10 j + 5 ms. So column j reads frame (10 j + 5) / 40. `interpolate(align_corners=False)` takes a
frame's index for the middle of its 40 ms instead: it draws the picture 20 ms late, and every
offset learnt from it is off by as much (measured: +20 ms, exactly).

Legend: B batch, C channels, T frames (25 Hz) or columns (100 Hz), L = 4 T columns of T frames.
Masks are bool [B, T], True where a sequence is; they are true from the start and then false. What
lies outside a sequence is zero on the way in and on the way out of every layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FRAME_MS, COLUMN_MS = 40, 10
COLUMNS_PER_FRAME = FRAME_MS // COLUMN_MS


def within(lengths: Tensor, size: int) -> Tensor:
    """The mask bool [B, size] of sequences with `lengths` int [B]."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def frames_to_columns(frames: Tensor, mask: Tensor | None = None) -> Tensor:
    """Linear interpolation on the clock, [B, C, T] -> [B, C, 4 T]; `mask` is of frames.

    Column j is frame j / 4 + 1 / 8. Behind the last frame of a sequence it is held.
    """
    following = torch.cat([frames[..., 1:], frames[..., -1:]], -1)
    if mask is not None:
        goes_on = torch.cat([mask[:, 1:], mask.new_zeros(len(mask), 1)], 1)
        following = torch.where(goes_on[:, None], following, frames)
    columns = torch.arange(COLUMNS_PER_FRAME, device=frames.device, dtype=frames.dtype)
    share = (COLUMN_MS * columns + COLUMN_MS / 2) / FRAME_MS
    return (frames[..., None] + share * (following - frames)[..., None]).flatten(-2)


def mask_of_columns(mask: Tensor | None) -> Tensor | None:
    """[B, T] of frames -> [B, 4 T] of their columns."""
    return None if mask is None else mask.repeat_interleave(COLUMNS_PER_FRAME, 1)


def zero_outside(x: Tensor, mask: Tensor | None) -> Tensor:
    """[B, C, T] with zeros where the mask [B, T] is false."""
    return x if mask is None else x.masked_fill(~mask[:, None], 0.0)


def in_float32(x: Tensor) -> torch.autocast:
    """A block in which autocast lets float32 be float32, on the device of `x`."""
    return torch.autocast(x.device.type, enabled=False)


class SequenceBatchNorm(nn.BatchNorm1d):
    """Batch norm of [B, C, T] whose statistics leave out what the mask [B, T] leaves out.

    Without it a clip's result would depend on how much longer its neighbours in the batch are.
    """

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return super().forward(input)
        columns = input.transpose(1, 2)
        normed = torch.zeros_like(columns)
        normed[mask] = super().forward(columns[mask]).to(columns.dtype)
        return normed.transpose(1, 2)


def widened(channels: int, width: float, multiple: int = 4) -> int:
    """`channels` times `width` as the nearest whole `multiple`, at least one.

    A multiple of 4 leaves an even number for sines and cosines and four heads of equal size.
    """
    return max(1, round(channels * width / multiple)) * multiple
