"""The cepstra that SyncNet and Light-ASD were trained on: python_speech_features' defaults.

Pre-emphasis 0.97, windows of 25 ms every 10 ms without a taper, 512-point power spectrum, 26
mel triangles from 0 to 8 kHz, logarithm, orthonormal DCT-II, 13 coefficients, lifter 22, the
first replaced by the log energy (Lyons et al., python_speech_features 0.6). Samples keep the
scale of int16: the networks' weights expect it, and a signal in [-1, 1] would only shift c0
and meet the floor sooner, which no shape check notices.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

from manifests.spectra import mel_htk_whole_bins, windows

WINDOW, STEP, NUM_FFT = 400, 160, 512
NUM_FILTERS, NUM_CEPSTRA, LIFTER = 26, 13, 22
PRE_EMPHASIS = 0.97
COLUMNS_PER_FRAME = 4
"""Columns of one canonical frame of 40 ms."""
_CHUNK = 2000


def num_columns(num_samples: int) -> int:
    """Columns of so many samples; the last window is filled with zeros."""
    return 1 if num_samples <= WINDOW else 1 - (WINDOW - num_samples) // STEP


def mfcc(pcm: np.ndarray, count: int | None = None) -> np.ndarray:
    """int16 [N] at 16 kHz -> float32 [C, 13] at 100 Hz, C = `count` or else `num_columns(N)`.

    A `count` may ask for one column more, which begins before the end all the same.

    Memory beside the result is bounded, however long the sound. Raises TypeError for samples
    that are not int16, ValueError for anything but one channel with at least one sample.
    """
    if pcm.dtype != np.int16:
        raise TypeError(f"samples must be int16, not {pcm.dtype}: the scale matters")
    if pcm.ndim != 1 or not len(pcm):
        raise ValueError(f"one channel with samples is needed, not shape {pcm.shape}")
    count = count or num_columns(len(pcm))
    output = np.empty((count, NUM_CEPSTRA), np.float32)
    for first in range(0, count, _CHUNK):
        last = min(first + _CHUNK, count)
        output[first:last] = _columns(pcm, first, last)
    return output


def _columns(pcm: np.ndarray, first: int, last: int) -> np.ndarray:
    """Columns `[first, last)` of the whole signal, float64."""
    low, high = first * STEP, (last - 1) * STEP + WINDOW
    # One sample before the chunk, so that pre-emphasis does not know where chunks begin.
    signal = np.zeros(high - low + 1)
    known = pcm[max(low - 1, 0) : high]
    begin = 1 if low == 0 else 0
    signal[begin : begin + len(known)] = known
    signal[1 : 1 + min(high, len(pcm)) - low] -= PRE_EMPHASIS * signal[: min(high, len(pcm)) - low]
    spectrum = np.fft.rfft(windows(signal[1:], WINDOW, STEP), NUM_FFT)
    return cepstra((spectrum.real**2 + spectrum.imag**2) / NUM_FFT)


def cepstra(power: np.ndarray) -> np.ndarray:
    """Liftered cepstra of power spectra float64 [C, 257] over 512, float64 [C, 13].

    The first is the log energy. The smallest float stands for an exact zero only, as in the
    published tool.
    """
    energy, bands = power.sum(1), power @ mel_htk_whole_bins(NUM_FILTERS, NUM_FFT).T
    tiny = np.finfo(float).eps
    energy, bands = np.where(energy == 0, tiny, energy), np.where(bands == 0, tiny, bands)
    found = dct(np.log(bands), type=2, norm="ortho", axis=1)[:, :NUM_CEPSTRA]
    found *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(NUM_CEPSTRA) / LIFTER)
    found[:, 0] = np.log(energy)
    return found
