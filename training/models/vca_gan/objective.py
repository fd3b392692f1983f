"""What VCA-GAN's two sides minimise (the published code's `train.py`).

Legend: B batch, T frames, D features, R rows, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from manifests.records import col
from training.losses.across import mean_of

LOG_FLOOR = math.log(1e-5)
Scores = Sequence[tuple[Tensor, Tensor]]
"""Of each scale: of the mel alone, and beside the context."""


@dataclass(frozen=True)
class LossWeights:
    """The code's."""

    adversarial: float = col("of the discriminators, for both sides", default=1.0)
    sync: float = col("of the sync network, for both sides", default=1.0)
    reconstruction: float = col("of mels and magnitudes", default=50.0)
    penalty: float = col("R1, of the gradient at real mels", default=1.0)


def told_apart(real: Scores, made: Scores) -> Tensor:
    """softplus(-D(y)) + softplus(D(yhat)) of both heads, a mean over the scales."""
    losses = [
        mean_of(functional.softplus(-r)) + mean_of(functional.softplus(m))
        for of_real, of_made in zip(real, made, strict=True)
        for r, m in zip(of_real, of_made, strict=True)
    ]
    return torch.stack(losses).sum() / len(real)


def taken_in(made: Scores) -> Tensor:
    """softplus(-D(yhat)) of both heads, a mean over the scales."""
    losses = [mean_of(functional.softplus(-score)) for scale in made for score in scale]
    return torch.stack(losses).sum() / len(made)


def gradient_penalty(scores: Scores, mels: Sequence[Tensor]) -> Tensor:
    """Mean over clips and scales of |grad D(y)|^2, of the heads without context; real mels that
    ask for a gradient (Mescheder et al. 2018)."""
    found = []
    for (alone, _), mel in zip(scores, mels, strict=True):
        (slope,) = torch.autograd.grad(alone.sum(), mel, create_graph=True)
        found.append(mean_of(slope.flatten(1).square().sum(1)))
    return torch.stack(found).mean()


def contrast(seen: Tensor, heard: Tensor) -> Tensor:
    """InfoNCE between the moments of a clip, both ways, of [B, T, D]; ln T by chance. Cosines at
    temperature 1."""
    alike = functional.normalize(seen, dim=2) @ functional.normalize(heard, dim=2).transpose(1, 2)
    both = [alike.log_softmax(axis).diagonal(dim1=1, dim2=2) for axis in (2, 1)]
    return -0.5 * (mean_of(both[0]) + mean_of(both[1]))


def out_of_step(seen: Tensor, heard: Tensor) -> Tensor:
    """5 - |cos| of each moment of [B, T, D]."""
    return 5 - mean_of(functional.cosine_similarity(seen, heard, dim=2).abs())


def scales_of(mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[B, 1, 80, 4 T] and what is aimed at with a quarter and half of its rows and columns, the
    coarsest first."""
    quarter, half = (
        functional.interpolate(mel, scale_factor=share, mode="bilinear") for share in (0.25, 0.5)
    )
    return quarter, half, mel


def reconstruction(
    guesses: Sequence[Tensor], targets: Sequence[Tensor], linear: Tensor, true_linear: Tensor
) -> tuple[Tensor, Tensor]:
    """L1 of the mels as natural logarithms, a mean over the scales, and of the magnitudes."""
    share = -LOG_FLOOR / 2  # of the logarithm that one of the network's units is
    mels = [mean_of((g - t).abs()) * share for g, t in zip(guesses, targets, strict=True)]
    return torch.stack(mels).mean(), mean_of((linear - true_linear).abs())
