"""The mel spectrogram of the alignment frontend, the Griffin-Lim round trip and the pictures.

Niu and Mak's window and hop; `manifests/spectra.py` has the definitions. T frames.
"""

from __future__ import annotations

import numpy as np

from evaluation.metrics.errors import TooShort
from manifests.spectra import mel_slaney, stft

WIN_LENGTH, HOP_LENGTH, N_MELS = 640, 160, 80
LOG_FLOOR = 1e-5
"""Smallest mel magnitude before the logarithm: -100 dB re a full-scale bin."""


def mel_bank() -> np.ndarray:
    """Slaney's triangles from 0 to 8 kHz, float64 [80, 321]; scores' signatures stand on them."""
    return mel_slaney(N_MELS, WIN_LENGTH)


def magnitude(signal: np.ndarray) -> np.ndarray:
    """Magnitude spectrogram, float64 [T, 321]; frame t is samples [160 t, 160 t + 640).

    Raises TooShort under one window.
    """
    if len(signal) < WIN_LENGTH:
        raise TooShort(f"{len(signal)} samples are less than one window of {WIN_LENGTH}")
    return np.abs(stft(signal, WIN_LENGTH, HOP_LENGTH))


def log_mel(signal: np.ndarray) -> np.ndarray:
    """Natural logarithm of the mel magnitudes, float64 [T, 80]. Raises TooShort."""
    return np.log(np.maximum(magnitude(signal) @ mel_bank().T, LOG_FLOOR))
