"""What both of Lip2AudSpec's networks minimise, and what their weights cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifests.records import col
from training.losses.across import mean_of, summed


@dataclass(frozen=True)
class LossWeights:
    """Of the squares and sizes of weights. The code writes `l1_l2(.001)`, whose second number is
    then its library's default."""

    convolutions_l2: float = col("of the network's convolutions", default=5e-4)
    code_l1: float = col("of the layer that makes the autoencoder's code", default=1e-3)
    code_l2: float = col("of the same", default=1e-2)


def corr2d(truth: Tensor, guess: Tensor) -> Tensor:
    """Correlation over all elements of two tensors of one shape, over all ranks."""
    one, other = truth - mean_of(truth), guess - mean_of(guess)
    power = summed(one.square().sum()) * summed(other.square().sum())
    return summed((one * other).sum()) / power.clamp_min(1e-12).sqrt()


def corr2d_and_squares(truth: Tensor, guess: Tensor) -> Tensor:
    """Mean squared error of both without their means, less their correlation; -1 at best. What is
    off by a constant costs nothing."""
    one, other = truth - mean_of(truth), guess - mean_of(guess)
    return mean_of((one - other).square()) - corr2d(truth, guess)


def sizes(weights: Iterable[Tensor], l1: float, l2: float) -> Tensor:
    """l1 |w| + l2 w^2, summed over all elements."""
    return torch.stack([l1 * w.abs().sum() + l2 * w.square().sum() for w in weights]).sum()
