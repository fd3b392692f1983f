"""What SLTS minimises: the paper's six terms by name, and their sum (Niu and Mak 3.2, 3.3).

Its weights are not printed. 1, 1, .1 for soft, hard and SSM are inferred: with them the DSM found
plants within 50 steps; 1 for each vocoder term, and 2.5 on the STFT's with discriminators, are
UnivNet's code's.

Legend: B batch, M mel bands, L columns, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

from manifests.records import col
from training.layers.sequences import in_float32
from training.losses.columns import mean_squared, self_synchronization
from training.losses.stft import multi_resolution_stft
from training.losses.stoi import stoi_loss
from training.models.slts.network import Heard


@dataclass(frozen=True)
class LossWeights:
    """One for each term of `mel_losses` and `sound_losses`, by its name."""

    soft: float = col("Eq. 4: M against Mhat^s; trains the DSM", default=1.0)
    hard: float = col("Eq. 6: M against Mhat^h, without ASM Mhat; trains the rest", default=1.0)
    ssm: float = col("Eq. 7", default=0.1)
    convergence: float = col("spectral convergence of the sound", default=1.0)
    log_magnitude: float = col("log magnitudes of the sound", default=1.0)
    stoi: float = col("1 - STOI of the sound", default=1.0)
    adversarial: float = col("the generator's, with discriminators", default=1.0)


def mel_losses(heard: Heard, mel: Tensor) -> dict[str, Tensor]:
    """`hard`, and with ASM `soft` and `ssm`, of M [B, M, L]."""
    losses = {"hard": mean_squared(mel, heard.hard, heard.hard_counts)}
    if (corrected := heard.corrected) is not None:
        losses["soft"] = mean_squared(mel, corrected.soft, corrected.soft_counts)
        losses["ssm"] = self_synchronization(corrected.log_p_self)
    return losses


def sound_losses(reference: Tensor, guess: Tensor) -> dict[str, Tensor]:
    """`convergence`, `log_magnitude` and `stoi` of segments [B, S], in float32 also under bf16."""
    reference, guess = reference.float(), guess.float()
    with in_float32(guess):
        stft = multi_resolution_stft(reference, guess)
        intelligibility = stoi_loss(reference, guess)
    return {
        "convergence": stft.convergence,
        "log_magnitude": stft.log_magnitude,
        "stoi": intelligibility,
    }


def total(losses: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """The weighted sum. Raises KeyError for a term without a weight, ValueError for none at all."""
    known = {field.name: getattr(weights, field.name) for field in fields(weights)}
    terms = [known[name] * value for name, value in losses.items()]
    if not terms:
        raise ValueError("no loss to minimise")
    return sum(terms[1:], terms[0])
