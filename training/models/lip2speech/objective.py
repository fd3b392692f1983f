"""Losses of Lip2Speech (3.2), and which columns the decoder is taught.

Legend: B batch, T columns, M bands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from manifests.records import col
from training.data.order import key_of
from training.losses.across import mean_of, summed
from training.losses.columns import mean_squared
from training.models.lip2speech.content import evenness
from training.models.lip2speech.decoder import Decoded


@dataclass(frozen=True)
class LossWeights:
    """Factors of the loss's terms."""

    mel: float = col("mean squared error before the post-net (3.2)", default=1.0, at_least=0.0)
    post: float = col(
        "and after it; 1 is inferred, the authors' code has 10", default=1.0, at_least=0.0
    )
    stop: float = col("of the stop token; the authors' code: 1", default=1.0, at_least=0.0)
    words: float = col(
        "of the codebook's evenness, where there is one; the authors' code: 1",
        default=1.0,
        at_least=0.0,
    )


def losses_of(decoded: Decoded, truth: Tensor, counts: Tensor, is_code: bool) -> dict[str, Tensor]:
    """By the names of `LossWeights`. Truth [B, T, M], `counts` bool [B, T] the columns that are
    there; in the authors' code those behind them count as well, as silence that has stopped."""
    size = counts.shape[1]
    last = counts.sum(1, keepdim=True) - 1
    is_last = torch.arange(size, device=counts.device) >= last
    counted = torch.ones_like(counts) if is_code else counts
    target = truth.transpose(1, 2)
    wrong = functional.binary_cross_entropy_with_logits(
        decoded.stop, is_last.to(decoded.stop), reduction="none"
    ).masked_fill(~counted, 0.0)
    losses = {
        "mel": mean_squared(target, decoded.before.transpose(1, 2), counted),
        "post": mean_squared(target, decoded.mel.transpose(1, 2), counted),
        "stop": summed(wrong.sum()) / summed(counted.sum().to(wrong)),
    }
    if decoded.word_shares is not None:
        losses["words"] = mean_of(evenness(decoded.word_shares))
    return losses


def total(losses: Mapping[str, Tensor], weights: LossWeights) -> Tensor:
    return torch.stack([getattr(weights, name) * value for name, value in losses.items()]).sum()


def taught_columns(
    kind: Literal["annealed", "published"], share: float, size: int, seed: int, part: int
) -> Tensor:
    """Whether each of `size` columns is taught, bool [T]: one draw for the whole batch, the same on
    all ranks. `share` as `taught_share` has it."""
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(key_of("teacher", seed, part)[:7], "big"))
    drawn = torch.rand(size, generator=generator)
    if kind == "annealed":
        return drawn < share
    taught = drawn > share
    return taught & (taught.cumsum(0) <= int(share * size))


def taught_share(
    kind: Literal["annealed", "published"], epoch: int, epochs: int, fall: float
) -> float:
    """annealed: the chance that a column is taught, .9 in the first ten epochs, 0 from the 90th on.
    published: the ratio, .1 in the first ten, of at most so many columns and with the chance of its
    complement."""
    stage = 1 + epoch // epochs
    return max(0.0, 1 - fall * stage) if kind == "annealed" else min(1.0, fall * stage)
