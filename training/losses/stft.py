"""Multi-resolution STFT loss, as UnivNet is trained with it (Jang et al. 2021, 2.4).

Spectral convergence and the difference of log magnitudes, each averaged over three resolutions
(Yamamoto et al. 2020, Eq. 3 to 6). Numbers and details are maum-ai/univnet's: centred spectra,
periodic Hann, magnitude sqrt(max(re^2 + im^2, 1e-7)), and a spectral convergence that is one ratio
of norms over the whole batch, in which loud segments weigh more.

Legend: B batch, S samples, F bins, W windows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from manifests.spectra import hann
from training.losses.across import mean_of, norm_of

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""(FFT, hop, window) in samples; published for 24 kHz, kept at 16: inferred, the paper has none."""
FLOOR = 1e-7
"""Least power; a logarithm and a root need one."""


class StftLoss(NamedTuple):
    """Both parts, averaged over the resolutions; 0 for equal sounds."""

    convergence: Tensor
    log_magnitude: Tensor


def magnitude(sound: Tensor, num_fft: int, hop: int, window: int, centred: bool = True) -> Tensor:
    """[B, S] -> [B, F, W], at least sqrt(1e-7); without `centred` nothing is padded.

    The taper stands in the middle of `num_fft` samples, of which the centred ones are reflected at
    both ends. Values are those of torch's own, the taper is that of `manifests/spectra.py`.
    """
    side = (num_fft - window) // 2
    taper = functional.pad(torch.tensor(hann(window)).to(sound), (side, side))
    if centred:
        around = (num_fft // 2, num_fft // 2)
        sound = functional.pad(sound[:, None], around, "reflect").squeeze(1)
    spectrum = torch.fft.rfft(sound.unfold(1, num_fft, hop) * taper).transpose(1, 2)
    return (spectrum.real.square() + spectrum.imag.square()).clamp_min(FLOOR).sqrt()


def multi_resolution_stft(reference: Tensor, guess: Tensor) -> StftLoss:
    """Of sounds [B, S], S > 1024 samples, float32: under bf16 the caller gives floats."""
    convergence, log_magnitude = reference.new_zeros(()), reference.new_zeros(())
    for resolution in RESOLUTIONS:
        wanted, found = magnitude(reference, *resolution), magnitude(guess, *resolution)
        convergence = convergence + norm_of(wanted - found) / norm_of(wanted)
        log_magnitude = log_magnitude + mean_of((wanted.log() - found.log()).abs())
    return StftLoss(convergence / len(RESOLUTIONS), log_magnitude / len(RESOLUTIONS))
