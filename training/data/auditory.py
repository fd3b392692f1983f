"""An auditory spectrogram and the way back: Lip2AudSpec's sound.

The original is made by a MATLAB toolbox (NSL's `wav2aud`, [10 10 -2 0] at 16 kHz): 128 bands, 24 an
octave, from 180 to 7246 Hz, a column each 10 ms, of which the power .3 is taken. Here are bells of
the same centres on magnitudes of 40 ms (inferred). What the toolbox does beyond, differences
between neighbouring bands and a leaky integration of 10 ms, is left out: the window is longer.
Legend: N samples, T = N // 640 frames, C columns, M = 128 bands.
"""

from __future__ import annotations

import numpy as np

from evaluation.metrics.griffin_lim import sound_of_magnitudes
from manifests.clock import SAMPLES_PER_FRAME
from manifests.spectra import constant_q, stft

WINDOW, HOP, BANDS, LOW_HZ, BANDS_PER_OCTAVE, POWER = 640, 160, 128, 180.0, 24, 0.3
NUM_ITERATIONS = 100
"""Of Griffin-Lim, for the toolbox's projections (inferred)."""
NUM_UPDATES = 60


def auditory_spectrum(samples: np.ndarray) -> np.ndarray:
    """16 kHz sound, int16 or float in +-1, [N] -> float32 [4 T, 128]; column j is centred on
    10 j + 5 ms. Raises TypeError for other types, ValueError for less than two frames."""
    if samples.ndim != 1 or len(samples) < 2 * SAMPLES_PER_FRAME:
        raise ValueError(f"one channel of 2 frames or more is needed, not {samples.shape}")
    if samples.dtype != np.int16 and not np.issubdtype(samples.dtype, np.floating):
        raise TypeError(f"samples must be int16, or float in +-1, not {samples.dtype}")
    signal = samples / (32768 if samples.dtype == np.int16 else 1)
    padded = np.pad(signal, (WINDOW - HOP) // 2, mode="reflect")
    return ((np.abs(stft(padded, WINDOW, HOP)) @ bank().T) ** POWER).astype(np.float32)


def auditory_sound(columns: np.ndarray) -> np.ndarray:
    """[C, 128] -> float32 [160 C] on the columns' clock. Raises ValueError as
    `sound_of_magnitudes`."""
    bands = np.maximum(np.asarray(columns, np.float64), 0.0) ** (1 / POWER)
    return sound_of_magnitudes(unbanked(bands), NUM_ITERATIONS)


def unbanked(bands: np.ndarray) -> np.ndarray:
    """Magnitudes [C, 321], at least 0, whose bells are nearest to [C, 128].

    Least squares by multiplicative updates (Lee and Seung 2000) from one magnitude everywhere: low
    bells are nearly alike, and what a pseudo-inverse makes of their differences is noise.
    """
    filters = bank()
    wanted = bands @ filters
    found = np.full_like(wanted, bands.mean() / filters.sum(1).mean())
    gram = filters.T @ filters
    for _ in range(NUM_UPDATES):
        found = found * wanted / np.maximum(found @ gram, 1e-12)
    return found


def bank() -> np.ndarray:
    """float64 [128, 321]."""
    return constant_q(BANDS, WINDOW, LOW_HZ, BANDS_PER_OCTAVE)
