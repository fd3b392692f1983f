"""Mel spectrograms for the alignment frontend, the Griffin-Lim round trip and the pictures.

Legend: T frames, F bins, M mel channels.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from evaluation.metrics.errors import TooShort

SAMPLE_RATE = 16000
WIN_LENGTH, HOP_LENGTH, N_MELS = 640, 160, 80
LOG_FLOOR = 1e-5
"""Smallest mel magnitude before the logarithm: -100 dB re a full-scale bin."""


def magnitude(signal: np.ndarray, win_length: int = WIN_LENGTH,
              hop_length: int = HOP_LENGTH) -> np.ndarray:
    """Magnitude spectrogram, float64 [T, win_length / 2 + 1], periodic Hann window.

    Frame t covers samples [160 t, 160 t + 640) and nothing is padded, so that a delay by whole
    hops moves whole frames and changes none. Raises TooShort under one window.
    """
    if len(signal) < win_length:
        raise TooShort(f"{len(signal)} samples are less than one window of {win_length}")
    frames = np.lib.stride_tricks.sliding_window_view(
        np.asarray(signal, np.float64), win_length)[::hop_length]
    return np.abs(np.fft.rfft(frames * hann(win_length), axis=1))


@cache
def hann(length: int) -> np.ndarray:
    """Periodic Hann window, float64 [length]; its squares overlap-add to a constant."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def log_mel(signal: np.ndarray) -> np.ndarray:
    """Natural logarithm of the mel magnitudes, float64 [T, 80]; window 640, hop 160."""
    return np.log(np.maximum(magnitude(signal) @ mel_filters().T, LOG_FLOOR))


@cache
def mel_filters(n_mels: int = N_MELS, n_fft: int = WIN_LENGTH) -> np.ndarray:
    """Triangles of equal area from 0 to 8 kHz, float64 [M, F].

    On Slaney's scale (linear to 1 kHz, then logarithmic): at 80 channels a purely logarithmic
    one has triangles narrower than the 25 Hz between bins, which would stay empty.
    """
    corners = _slaney_to_hertz(np.linspace(0, _TOP_MEL, n_mels + 2))
    bins = np.arange(n_fft // 2 + 1) * SAMPLE_RATE / n_fft
    low, centre, high = (corners[i:n_mels + i, None] for i in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


_KNEE_HZ, _KNEE_MEL = 1000.0, 15.0
_STEP = np.log(6.4) / 27
_TOP_MEL = _KNEE_MEL + np.log(SAMPLE_RATE / 2 / _KNEE_HZ) / _STEP


def _slaney_to_hertz(mel: np.ndarray) -> np.ndarray:
    linear = mel * _KNEE_HZ / _KNEE_MEL
    return np.where(mel < _KNEE_MEL, linear, _KNEE_HZ * np.exp((mel - _KNEE_MEL) * _STEP))
