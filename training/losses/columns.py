"""Losses over the columns of mel spectrograms of unequal length (Niu and Mak, Eq. 4, 6, 7).

The paper's squared norms are sums; here they are means over what counts, so that a weight means the
same for every clip length and shift (inferred).

Legend: B batch, M mel bands, L columns, K radius. Masks are bool [B, L].
"""

from __future__ import annotations

from torch import Tensor

from training.losses.across import mean_of, summed


def mean_squared(target: Tensor, guess: Tensor, counts: Tensor) -> Tensor:
    """Mean of (target - guess)^2 of [B, M, L] over the columns that count; 0 if there is none.

    It is one mean over the batches of all ranks: each column weighs the same, a longer clip more.
    """
    error = (target - guess).square().mean(1).masked_fill(~counts, 0.0)
    return summed(error.sum()) / summed(counts.sum().to(error)).clamp_min(1)


def self_synchronization(log_probability: Tensor) -> Tensor:
    """Eq. 7: the mean of -log P(0), of log P [B, 2 K + 1]; log(2 K + 1) if all are alike."""
    return -mean_of(log_probability[:, log_probability.shape[1] // 2])
