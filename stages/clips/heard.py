"""What a clip sounds like, in numbers: noise, bandwidth, music. No network is asked.

Each looks at one short-time spectrum of the clip. docs/columns.md says how far each was from what
was planted.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.special import gammaincinv

from manifests.clock import SAMPLE_RATE
from manifests.spectra import hann, stft

WINDOW, HOP = 512, 256
NUM_BANDS, SMOOTH_WINDOWS = 32, 3
FLOOR_QUANTILE = 0.05
FREEDOM = 0.6
"""Independent values among the bins of a band and its overlapping windows, as a share of them: with
it the floor of white noise comes out at its power."""
LEAST_SNR_DB, MOST_SNR_DB = -10.0, 60.0
SILENT = 1e-12
"""Mean square of sound, full scale 1, below which there is none."""
ROUNDING = 32768.0**-2 / 12
"""Power of what rounding to 16 bits adds, in each bin of `power_spectra`."""

LOUD_SHARE, DOWN_DB, SMOOTH_HZ = 0.3, 55.0, 250.0
VOICE_FROM_HZ = 200.0
"""Under it lies rumble, which may be stronger than any voice."""

MUSIC_WINDOW, MUSIC_HOP = 2048, 512
MUSIC_LOW_HZ, MUSIC_HIGH_HZ, MUSIC_AROUND_HZ = 62.5, 5000.0, 312.5
MUSIC_STANDS_OUT_DB, MUSIC_LINES = 6.0, 5
LEAST_MUSIC_WINDOWS = 16


def power_spectra(sound: np.ndarray, window: int = WINDOW, hop: int = HOP) -> np.ndarray:
    """int16 [N] -> power float64 [T, window // 2 + 1], full scale 1; of noise each bin has the mean
    square of the sound. No rows for what is shorter than a window."""
    if len(sound) < window:
        return np.zeros((0, window // 2 + 1))
    seen = stft(sound.astype(np.float64) / 32768, window, hop)
    return (seen.real**2 + seen.imag**2) / float(np.square(hann(window)).sum())


def windows_at(rate: int) -> tuple[int, int]:
    """Window and hop of another rate that last about as long, even."""
    window = 2 * round(WINDOW * rate / SAMPLE_RATE / 2)
    return window, window // 2


def snr_db(spectra: np.ndarray) -> float | None:
    """Power of what is said over the power of steady noise, of `power_spectra` at 16 kHz.

    The floor of each of 32 bands is the 5 % quantile of its power over time, for speech leaves
    every band some of the time (minimum statistics; Martin 2001), made up for what a low quantile
    of noise lies below its mean. What comes and goes as speech does, other voices above all, counts
    as speech. None for silence and for less than 10 windows; between -10 and 60.
    """
    if len(spectra) < SMOOTH_WINDOWS + 7:
        return None
    bins = spectra.shape[1] // NUM_BANDS
    bands = spectra[:, 1:].reshape(len(spectra), NUM_BANDS, bins).sum(2)
    total = float(bands.sum(1).mean())
    if total / (NUM_BANDS * bins) < SILENT:
        return None
    sums = np.cumsum(np.concatenate([np.zeros((1, NUM_BANDS)), bands]), 0)
    smooth = (sums[SMOOTH_WINDOWS:] - sums[:-SMOOTH_WINDOWS]) / SMOOTH_WINDOWS
    floor = np.quantile(smooth, FLOOR_QUANTILE, axis=0) / _low_quantile(bins * SMOOTH_WINDOWS)
    noise = float(floor.sum())
    if noise <= 0:
        return MOST_SNR_DB
    ratio = max(total / noise - 1, 10 ** (LEAST_SNR_DB / 10))
    return round(min(10 * float(np.log10(ratio)), MOST_SNR_DB), 1)


@cache
def _low_quantile(values: int) -> float:
    """Where that quantile of a mean of so many powers of noise lies, of their mean."""
    freedom = FREEDOM * values
    return float(gammaincinv(freedom, FLOOR_QUANTILE)) / freedom


def bandwidth_hz(spectra: np.ndarray, rate: int = SAMPLE_RATE) -> float | None:
    """Highest frequency within 55 dB of the strongest one above rumble, in the loudest 30 % of the
    windows, and above what rounding makes.

    Half of `rate` where it reaches that far: what the source had above is not known. None for
    silence.
    """
    loud = spectra.sum(1)
    if not len(loud) or float(loud.mean()) / spectra.shape[1] < SILENT:
        return None
    mean = spectra[loud >= np.quantile(loud, 1 - LOUD_SHARE)].mean(0)
    bin_hz = rate / 2 / (len(mean) - 1)
    width = max(1, round(SMOOTH_HZ / bin_hz))
    level = np.convolve(mean, np.ones(width) / width, "valid")
    strongest = level[round(VOICE_FROM_HZ / bin_hz) :].max()
    least = max(strongest * 10 ** (-DOWN_DB / 10), 4 * ROUNDING)
    above = np.flatnonzero(level >= least)
    if not len(above):
        return None
    last = int(above[-1])
    if last + 1 == len(level):
        return rate / 2
    return round((last + (width - 1) / 2) * bin_hz, 0)


def music_share(sound: np.ndarray) -> float | None:
    """How steadily the five steadiest tones of int16 [N] at 16 kHz sound: 0 to 1.

    Notes are lines of one frequency, which voices, whose pitch glides, do not hold: the
    activation of each frequency is the share of windows in which it stands out from those around
    it by 6 dB (Continuous Frequency Activation, Seyerlehner et al. 2007; windows, bands and scale
    are our own). Hum, whistles and held vowels have such lines too. None for silence and for less
    than 0.6 s.
    """
    if len(sound) < MUSIC_WINDOW + (LEAST_MUSIC_WINDOWS - 1) * MUSIC_HOP:
        return None
    bin_hz = SAMPLE_RATE / MUSIC_WINDOW
    low, high = round(MUSIC_LOW_HZ / bin_hz), round(MUSIC_HIGH_HZ / bin_hz)
    power = power_spectra(sound, MUSIC_WINDOW, MUSIC_HOP)
    if not float(power.mean()) > SILENT:
        return None
    power = power[:, low:high]
    level = 10 * np.log10(power + 1e-13)
    around = uniform_filter1d(level, 2 * round(MUSIC_AROUND_HZ / bin_hz) + 1, axis=1)
    active = (level - around > MUSIC_STANDS_OUT_DB).mean(0)
    strongest = sorted(_heights(active), reverse=True)[:MUSIC_LINES]
    return round(sum(strongest) / MUSIC_LINES, 3)


def _heights(values: np.ndarray) -> list[float]:
    """How far each peak rises above the higher of the two dips beside it."""
    steps = np.diff(values)
    turns = np.flatnonzero(np.diff(np.sign(steps[steps != 0])))
    at = np.flatnonzero(steps != 0)
    corners = [0, *(int(at[i]) + 1 for i in turns), len(values) - 1]
    told = values[corners]
    return [
        float(now - max(before, after))
        for before, now, after in zip(told, told[1:], told[2:], strict=False)
        if now > max(before, after)
    ]
