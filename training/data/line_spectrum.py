"""Line spectrum pairs and gain of linear prediction: Vid2Speech's sound, there and back.

8 kHz, pre-emphasis .9, windows of 40 ms every 20 ms, order 8 (arielephrat/vid2speech,
`process_data.py`). A frame of video has two windows, whose middles are 10 and 30 ms behind the
frame's beginning: inferred, so that they lie evenly on the clock. Legend: W windows, p = 8.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter, resample_poly

from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from manifests.spectra import hann, windows

RATE, ORDER, WINDOW, HOP, PRE_EMPHASIS = 8000, 8, 320, 160, 0.9
WINDOWS_PER_FRAME = 2
NUM_VALUES = WINDOWS_PER_FRAME * (ORDER + 1)
"""18 of a frame: pairs of the first window, of the second, then both gains."""
LEAST_SPACING = 1e-3
"""Radians between frequencies, below which a filter would ring for ever (inferred)."""


def line_spectrum(samples: np.ndarray) -> np.ndarray:
    """16 kHz sound, int16 or float in +-1, [N] -> float32 [T, 18]. Raises TypeError for
    other types, ValueError for less than two frames."""
    if samples.ndim != 1 or len(samples) < 2 * SAMPLES_PER_FRAME:
        raise ValueError(f"one channel of 2 frames or more is needed, not {samples.shape}")
    if samples.dtype != np.int16 and not np.issubdtype(samples.dtype, np.floating):
        raise TypeError(f"samples must be int16, or float in +-1, not {samples.dtype}")
    scale = 32768 if samples.dtype == np.int16 else 1
    low = resample_poly(samples.astype(np.float64) / scale, RATE, SAMPLE_RATE)
    emphasised = lfilter([1.0, -PRE_EMPHASIS], [1.0], low)
    edge = (WINDOW - HOP) // 2
    num_frames = len(samples) // SAMPLES_PER_FRAME
    cut = windows(np.pad(emphasised, edge, mode="reflect"), WINDOW, HOP)
    filters, gains = predictors(cut[: WINDOWS_PER_FRAME * num_frames] * hann(WINDOW))
    pairs = frequencies_of(filters).reshape(num_frames, -1)
    return np.concatenate([pairs, gains.reshape(num_frames, -1)], 1).astype(np.float32)


def sound_of(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """[T, 18] -> float32 [640 T] at 16 kHz: white noise through each window's filter, overlapped.

    A voice that whispers: the excitation is not known. The same seed gives the same sound.
    """
    values = np.asarray(values, np.float64)
    num_pairs = WINDOWS_PER_FRAME * ORDER
    pairs = stable(values[:, :num_pairs].reshape(-1, ORDER))
    gains = np.maximum(values[:, num_pairs:].reshape(-1), 0.0)
    noise = np.random.default_rng(seed).standard_normal((len(gains), WINDOW))
    edge = (WINDOW - HOP) // 2
    total = np.zeros(HOP * len(gains) + 2 * edge)
    for i, (filter_, gain) in enumerate(zip(filters_of(pairs), gains, strict=True)):
        made = lfilter([gain], filter_, noise[i])
        total[HOP * i : HOP * i + WINDOW] += made * hann(WINDOW)
    low = lfilter([1.0], [1.0, -PRE_EMPHASIS], total[edge : len(total) - edge])
    return resample_poly(low, SAMPLE_RATE, RATE).astype(np.float32)


def predictors(cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows [W, n] -> filters A [W, p + 1], A[:, 0] = 1, and gains [W] by autocorrelation.

    The gain is such that white noise of deviation 1 through gain / A has the window's power.
    Silence has A = 1 and gain 0. Levinson and Durbin's recursion, all windows at once.
    """
    lags = np.stack([(cut[:, k:] * cut[:, : cut.shape[1] - k]).sum(1) for k in range(ORDER + 1)], 1)
    lags[:, 0] = lags[:, 0] * (1 + 1e-9) + 1e-12
    filters = np.zeros((len(cut), ORDER + 1))
    filters[:, 0], error = 1.0, lags[:, 0].copy()
    for k in range(1, ORDER + 1):
        reflection = -(filters[:, :k] * lags[:, k:0:-1]).sum(1) / error
        filters[:, 1 : k + 1] += reflection[:, None] * filters[:, k - 1 :: -1][:, :k]
        error = error * (1 - reflection**2)
    power = error / np.square(hann(cut.shape[1])).sum()
    return filters, np.sqrt(np.maximum(power, 0)) * (lags[:, 0] > 1e-11)


def frequencies_of(filters: np.ndarray) -> np.ndarray:
    """A [W, p + 1] -> line spectrum frequencies [W, p], rising in (0, pi).

    They are the angles of the roots of A(z) +- z^-(p + 1) A(1 / z), but for the root at -1 or 1.
    """
    padded = np.pad(filters, ((0, 0), (0, 1)))
    angles = []
    for sign in (1, -1):
        whole = padded + sign * padded[:, ::-1]
        halved = np.stack([lfilter([1.0], [1.0, sign], row)[:-1] for row in whole])
        companion = np.zeros((len(filters), ORDER, ORDER))
        companion[:, 0] = -halved[:, 1:] / halved[:, :1]
        companion[:, np.arange(1, ORDER), np.arange(ORDER - 1)] = 1.0
        found = np.abs(np.angle(np.linalg.eigvals(companion)))
        angles.append(np.sort(found, 1)[:, ::2])  # of each conjugate pair one
    return np.sort(np.concatenate(angles, 1), 1)


def filters_of(frequencies: np.ndarray) -> np.ndarray:
    """The way back, [W, p] -> A [W, p + 1]."""
    made = []
    for row in np.asarray(frequencies, np.float64):
        both = []
        for start, sign in ((0, 1.0), (1, -1.0)):
            whole = np.array([1.0, sign])
            for angle in row[start::2]:
                whole = np.convolve(whole, [1.0, -2 * np.cos(angle), 1.0])
            both.append(whole)
        made.append(((both[0] + both[1]) / 2)[:-1])
    return np.stack(made)


def stable(frequencies: np.ndarray) -> np.ndarray:
    """Predicted [W, p] in order, apart from each other, and within (0, pi)."""
    held = np.sort(frequencies, 1)
    for k in range(ORDER):
        least = LEAST_SPACING if k == 0 else held[:, k - 1] + LEAST_SPACING
        held[:, k] = np.maximum(held[:, k], least)
    for k in range(ORDER - 1, -1, -1):
        most = np.pi - LEAST_SPACING * (ORDER - k)
        held[:, k] = np.minimum(held[:, k], most)
    return held
