"""The round trip through a mel spectrogram: what a model that predicts spectrograms can reach.

Griffin and Lim 1984, with the momentum of Perraudin et al. 2013. The spectrogram is the one of
Niu and Mak: 80 mel channels, window 640, hop 160; so is its row in every table of scores.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from evaluation.metrics.errors import TooShort
from evaluation.metrics.spectra import HOP_LENGTH, WIN_LENGTH, magnitude, mel_bank
from manifests.spectra import inverse_stft, stft

NUM_ITERATIONS, MOMENTUM = 60, 0.99


def round_trip(signal: np.ndarray) -> np.ndarray:
    """Sound to mel magnitudes and back: float32 [N], of the same length. Raises TooShort."""
    if len(signal) < WIN_LENGTH:
        raise TooShort(f"{len(signal)} samples are less than one window of {WIN_LENGTH}")
    # Half a window on either side, so that the first and last samples are in as many frames.
    edge = WIN_LENGTH // 2
    tail = -(len(signal) + 2 * edge - WIN_LENGTH) % HOP_LENGTH
    padded = np.pad(np.asarray(signal, np.float64), (edge, edge + tail))
    mel = magnitude(padded) @ mel_bank().T
    sound = _invert(np.maximum(mel @ _mel_inverse().T, 0.0))
    return sound[edge : edge + len(signal)].astype(np.float32)


@cache
def _mel_inverse() -> np.ndarray:
    return np.linalg.pinv(mel_bank())


def _invert(target: np.ndarray) -> np.ndarray:
    """Sound whose magnitudes come close to `target` [T, F]; the first phases are random with a
    fixed seed."""
    rng = np.random.default_rng(0)
    estimate = target * np.exp(2j * np.pi * rng.random(target.shape))
    previous = np.zeros_like(estimate)
    for _ in range(NUM_ITERATIONS):
        consistent = stft(inverse_stft(estimate, WIN_LENGTH, HOP_LENGTH), WIN_LENGTH, HOP_LENGTH)
        ahead = consistent + MOMENTUM * (consistent - previous)
        previous = consistent
        estimate = target * ahead / np.maximum(np.abs(ahead), 1e-12)
    return inverse_stft(estimate, WIN_LENGTH, HOP_LENGTH)
