"""Mel banks and short-time spectra: each definition once, by its own name.

Three banks exist on purpose. Networks and scores are bound to the one they began with, and two
banks of one shape and other values are an error that no shape check notices:

- `mel_htk`: HTK's scale, corners where they fall, height 1: both lip-sync models.
- `mel_htk_whole_bins`: the same scale, corners rounded down to bins, as python_speech_features has
  them: the MFCC of SyncNet and Light-ASD, and of the MCD that papers print.
- `mel_slaney`: linear to 1 kHz and logarithmic above, triangles of equal area, librosa's default:
  alignment frontend, Griffin-Lim, GE2E. It stands in signatures of scores.

numpy only, float64: whoever wants a tensor or float32 converts. Arrays of the banks are cached
and cannot be written to.
Legend: N samples, W window, T windows, F = num_fft // 2 + 1 bins, M bands.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from manifests.clock import SAMPLE_RATE

TOP_HZ = SAMPLE_RATE / 2
_KNEE_HZ, _KNEE_MEL = 1000.0, 15.0
_SLANEY_STEP = np.log(6.4) / 27
"""Slaney's scale has 15 steps below its knee and 27 from there to 6.4 kHz."""


# -- scales ------------------------------------------------------------------------------------


def hertz_to_mel_htk(hertz: np.ndarray | float) -> np.ndarray:
    """2595 log10(1 + f / 700) (O'Shaughnessy 1987; HTK, torchaudio's default)."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def mel_to_hertz_htk(mel: np.ndarray | float) -> np.ndarray:
    """Inverse of `hertz_to_mel_htk`."""
    return 700 * (10 ** (np.asarray(mel) / 2595) - 1)


def hertz_to_mel_slaney(hertz: np.ndarray | float) -> np.ndarray:
    """Slaney 1998, Auditory Toolbox (librosa's default): mel 15 is 1 kHz."""
    hertz = np.asarray(hertz, np.float64)
    above = np.log(np.maximum(hertz, _KNEE_HZ) / _KNEE_HZ) / _SLANEY_STEP
    return np.where(hertz < _KNEE_HZ, hertz * _KNEE_MEL / _KNEE_HZ, _KNEE_MEL + above)


def mel_to_hertz_slaney(mel: np.ndarray | float) -> np.ndarray:
    """Inverse of `hertz_to_mel_slaney`."""
    mel = np.asarray(mel, np.float64)
    above = _KNEE_HZ * np.exp((mel - _KNEE_MEL) * _SLANEY_STEP)
    return np.where(mel < _KNEE_MEL, mel * _KNEE_HZ / _KNEE_MEL, above)


# -- banks -------------------------------------------------------------------------------------


@cache
def mel_htk(
    num_bands: int,
    num_fft: int,
    low_hz: float = 0.0,
    high_hz: float = TOP_HZ,
    rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Triangles of height 1 on HTK's scale, float64 [M, F], for power or magnitude.

    Their corners lie between bins, so a peak is seldom met and the largest value of a row is
    below 1. Many bands leave the lowest ones narrower than a bin, and empty: take `mel_slaney`.
    torchaudio.functional.melscale_fbanks with its defaults, librosa's `htk=True, norm=None`.
    """
    return _frozen(_triangles(_corners_htk(num_bands, low_hz, high_hz), num_fft, rate))


@cache
def mel_htk_whole_bins(
    num_bands: int,
    num_fft: int,
    low_hz: float = 0.0,
    high_hz: float = TOP_HZ,
    rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Triangles on HTK's scale whose corners are rounded down to bins, float64 [M, F].

    Every row reaches 1 at a bin and the bands are a little lower than `mel_htk`'s. As published
    in python_speech_features 0.6 (`get_filterbanks`), which networks and papers' figures are
    from.
    """
    hertz = _corners_htk(num_bands, low_hz, high_hz)
    corners = np.floor((num_fft + 1) * hertz / rate).astype(int)
    filters = np.zeros((num_bands, num_fft // 2 + 1))
    for row, (low, peak, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        filters[row, low:peak] = (np.arange(low, peak) - low) / max(peak - low, 1)
        filters[row, peak:high] = (high - np.arange(peak, high)) / max(high - peak, 1)
    return _frozen(filters)


@cache
def mel_slaney(
    num_bands: int,
    num_fft: int,
    low_hz: float = 0.0,
    high_hz: float = TOP_HZ,
    rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Triangles of equal area (1 Hz: heights in 1 / Hz) on Slaney's scale, float64 [M, F].

    The scale is linear to 1 kHz: with 80 bands a purely logarithmic one has triangles narrower
    than the 25 Hz between the bins of a window of 640, which would stay empty.
    librosa.filters.mel with its defaults.
    """
    low, high = hertz_to_mel_slaney(low_hz), hertz_to_mel_slaney(high_hz)
    corners = mel_to_hertz_slaney(np.linspace(low, high, num_bands + 2))
    return _frozen(_triangles(corners, num_fft, rate) * 2 / (corners[2:] - corners[:-2])[:, None])


def _corners_htk(num_bands: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Corners in Hz, float64 [M + 2], evenly spaced on HTK's scale."""
    return mel_to_hertz_htk(
        np.linspace(hertz_to_mel_htk(low_hz), hertz_to_mel_htk(high_hz), num_bands + 2)
    )


def _triangles(corners_hz: np.ndarray, num_fft: int, rate: int) -> np.ndarray:
    """Triangles of height 1 between corners [M + 2], float64 [M, F]."""
    bins = np.arange(num_fft // 2 + 1) * rate / num_fft
    low, centre, high = corners_hz[:-2, None], corners_hz[1:-1, None], corners_hz[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling))


@cache
def constant_q(
    num_bands: int, num_fft: int, low_hz: float, bands_per_octave: int, rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Bells of height 1 around `low_hz` 2^(k / bands_per_octave), float64 [M, F], for magnitudes.

    A bell's deviation is two bands, or one bin where bands are narrower than bins.
    """
    centres_hz = low_hz * 2 ** (np.arange(num_bands) / bands_per_octave)
    bin_hz = rate / num_fft
    wide_hz = np.maximum(centres_hz * (2 ** (2 / bands_per_octave) - 1), bin_hz)
    bins_hz = np.arange(num_fft // 2 + 1) * bin_hz
    apart = (bins_hz - centres_hz[:, None]) / wide_hz[:, None]
    return _frozen(np.exp(-0.5 * np.square(apart)))


def _frozen(filters: np.ndarray) -> np.ndarray:
    filters.flags.writeable = False
    return filters


# -- short-time spectra ------------------------------------------------------------------------


def windows(signal: np.ndarray, length: int, hop: int) -> np.ndarray:
    """A view [T, length] of [N], T = 1 + (N - length) // hop: nothing is padded or copied.

    Window t is samples [hop t, hop t + length). Raises ValueError under one window.
    """
    return np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]


@cache
def hann(length: int) -> np.ndarray:
    """Periodic Hann window, float64 [length]; its squares overlap-add to a constant.

    numpy's `hanning` is the symmetric one, which `centred_power` has.
    """
    return _frozen(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length))


@cache
def hann_without_ends(length: int) -> np.ndarray:
    """Symmetric Hann window without the zeros at its ends, float64 [length]: MATLAB's `hanning`.

    STOI's, as its authors and pystoi have it.
    """
    return _frozen(np.hanning(length + 2)[1:-1])


def stft(signal: np.ndarray, win_length: int, hop_length: int) -> np.ndarray:
    """Spectra of the windows of [N], complex128 [T, win_length // 2 + 1], periodic Hann.

    Nothing is padded: a delay by whole hops moves whole rows and changes none. A centred one is
    this of a padded signal. Raises ValueError under one window.
    """
    signal = np.asarray(signal, np.float64)
    return np.fft.rfft(windows(signal, win_length, hop_length) * hann(win_length), axis=1)


def inverse_stft(spectrum: np.ndarray, win_length: int, hop_length: int) -> np.ndarray:
    """The sound whose `stft` is nearest to [T, F], float64 [(T - 1) hop + win_length].

    Least squares (Griffin and Lim 1984, eq. 6); the outermost samples, which only the ends of a
    window see, are uncertain.
    """
    window = hann(win_length)
    frames = np.fft.irfft(spectrum, win_length, axis=1) * window
    length = (len(frames) - 1) * hop_length + win_length
    total, weight = np.zeros(length), np.zeros(length)
    for i, frame in enumerate(frames):
        part = slice(i * hop_length, i * hop_length + win_length)
        total[part] += frame
        weight[part] += window**2
    return total / np.maximum(weight, 1e-8)


def centred_power(
    samples: np.ndarray, win_length: int, hop_length: int, num_fft: int
) -> np.ndarray:
    """Power of windows around every hop, float32 [N // hop_length, num_fft // 2 + 1].

    Row t is centred on sample hop t, with zeros for what is missing at the ends; symmetric Hann
    window; single precision throughout, as the lip-sync weights were trained with. `samples`
    float32 [N], N >= hop_length.
    """
    padded = np.pad(samples, (win_length // 2, win_length))
    frames = windows(padded, win_length, hop_length)[: len(samples) // hop_length]
    spectrum = np.fft.rfft(frames * np.hanning(win_length).astype(np.float32), num_fft)
    return (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
