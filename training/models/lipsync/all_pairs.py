"""The correlation of every window with every sound over lags, as training needs it: the numbers of
`stages.networks.lipsync.lag_correlation` by matrix products, in half of its time."""

from __future__ import annotations

import torch

ROWS_PER_FRAME = 4


class _Unroll(torch.autograd.Function):
    """[C, K, N] -> [C, K, L, T]: what lies at row l + 4 t. The library's own way back through
    such a view takes most of a training step's time."""

    @staticmethod
    def forward(ctx, signal: torch.Tensor, frames: int, lags: int) -> torch.Tensor:
        ctx.shape, ctx.lags = signal.shape, lags
        starts = range(0, ROWS_PER_FRAME * frames, ROWS_PER_FRAME)
        return torch.stack([signal[:, :, s : s + lags] for s in starts], 3)

    @staticmethod
    def backward(ctx, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        parts = gradients[0].permute(3, 0, 1, 2).contiguous()
        made = parts.new_zeros(ctx.shape)
        for frame, part in enumerate(parts):
            start = ROWS_PER_FRAME * frame
            made[:, :, start : start + ctx.lags] += part
        return made, None, None


def all_pairs(
    seen: torch.Tensor, heard: torch.Tensor, exists: torch.Tensor, steps: int
) -> torch.Tensor:
    """Windows `seen` [B, K, T], sounds `heard` [C, K, 4 T + 2 steps], `exists` [C, 4 T + 2 steps]
    -> [B, C, 2 steps + 1], as `lag_correlation` has it. The two large products are taken in
    bfloat16: an error of some thousandths, for training alone."""
    (batch, size, frames), sounds, lags = seen.shape, len(heard), 2 * steps + 1
    half = torch.bfloat16

    def unroll(signal: torch.Tensor) -> torch.Tensor:
        return _Unroll.apply(signal, frames, lags)

    heard = heard * exists[:, None]
    rows = unroll(heard).permute(0, 2, 1, 3).reshape(sounds * lags, size * frames)
    mask = unroll(exists[:, None]).reshape(sounds * lags, frames)
    count = mask.sum(1).clamp_min(1.0)
    product = (rows.to(half) @ seen.reshape(batch, -1).T.to(half)).float()
    heard_sum = rows.view(sounds * lags, size, frames).sum(2)
    seen_sum = (mask.to(half) @ seen.reshape(batch * size, frames).T.to(half)).float()
    seen_sum = seen_sum.view(sounds * lags, batch, size)
    seen_power = mask @ (seen**2).sum(1).T
    heard_power = unroll((heard**2).sum(1, keepdim=True)).sum(3).reshape(-1)
    product = product - torch.bmm(seen_sum, heard_sum[:, :, None])[:, :, 0] / count[:, None]
    seen_norm = (seen_power - (seen_sum**2).sum(2) / count[:, None]).clamp_min(1e-4).sqrt()
    heard_norm = (heard_power - (heard_sum**2).sum(1) / count).clamp_min(1e-4).sqrt()
    made = product / (seen_norm * heard_norm[:, None])
    return made.view(sounds, lags, batch).permute(2, 0, 1).flip(2)
