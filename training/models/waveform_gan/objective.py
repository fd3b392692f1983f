"""What generator and critic of the waveform GAN minimise (Vougioukas et al. 2019, 2.4).

Eq. 5 writes + lambda_gp L_gp inside min over G, max over D: read literally, the critic would raise
its own penalty. It is added to what the critic minimises, as in Gulrajani et al. 2017.

Legend: B batch, S samples, T frames, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from manifests.records import col
from training.losses.across import mean_of, summed


@dataclass(frozen=True)
class LossWeights:
    """2.4: chosen so that each term contributes about as much as the others. 0 is a row of table
    3."""

    adversarial: float = col("-D of what is made; without it the paper heard noise", default=1.0)
    l1: float = col("distance of the samples", default=150.0)
    tv: float = col("total variation of what is made (Eq. 4)", default=120.0)
    perceptual: float = col("distance of phi (Eq. 3), a mean over its elements", default=70.0)
    penalty: float = col("of the critic's gradient (Eq. 2)", default=10.0)
    spectral: float = col(
        "both parts of the multi-resolution STFT loss; not the paper's: `tiny` has it, since the "
        "samples' distance has no use for a sound of another phase",
        default=0.0,
        at_least=0.0,
    )


def critic_terms(
    critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, between: Tensor
) -> tuple[Tensor, Tensor]:
    """The Wasserstein distance as the critic sees it (Eq. 1), which it raises, and the penalty of
    Eq. 2; real and made [B, S], `between` [B] in [0, 1)."""
    distance = mean_of(critic(real)) - mean_of(critic(made))
    return distance, gradient_penalty(critic, real, made, between)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, between: Tensor
) -> Tensor:
    """Mean of (|grad D(xhat)| - 1)^2. Two-sided as Eq. 2 has it, though 2.2 says "larger"."""
    mixed = torch.lerp(made, real, between[:, None]).detach().requires_grad_(True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return mean_of((slope.float().norm(dim=1) - 1).square())


def total_variation(sound: Tensor) -> Tensor:
    """Eq. 4: the sum of |x[t + 1] - x[t]| over T samples, divided by T, of [B, S]."""
    steps = sound.diff(dim=1).abs()
    return mean_of(steps.sum(1) / sound.shape[1])


def distance(one: Tensor, other: Tensor) -> Tensor:
    """L1, a mean over all elements."""
    return mean_of((one - other).abs())


def deviation(features: Tensor) -> Tensor:
    """Mean distance of phi [B, T, D] of real sounds from its own mean over them, at least 1e-6.

    The weight of 70 belongs to the published encoder, whose scale ours does not share: after 100
    steps its features spread so little that the term was .02 beside 33 of the samples' distance.
    In units of its own spread the term is about the weight for a sound that says nothing.
    """
    count = summed(features.new_tensor(float(features.shape[0] * features.shape[1])))
    mean = summed(features.sum((0, 1))) / count
    return mean_of((features - mean).abs()).clamp_min(1e-6)


def weighted(terms: dict[str, Tensor], weights: LossWeights) -> dict[str, Tensor]:
    """Each by its weight; terms of weight 0 are left out. Raises KeyError for one without."""
    known = {field.name: getattr(weights, field.name) for field in fields(weights)}
    return {name: known[name] * value for name, value in terms.items() if known[name]}
