"""The round trip through a mel spectrogram: what a model that predicts spectrograms can reach.

Griffin and Lim 1984, with the momentum of Perraudin et al. 2013. The spectrogram is the one of
Niu and Mak: 80 mel channels, window 640, hop 160; so is its row in every table of scores.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from evaluation.audio import SAMPLE_RATE, read_sound
from evaluation.metrics.errors import TooShort
from evaluation.metrics.spectra import HOP_LENGTH, WIN_LENGTH, magnitude, mel_bank
from manifests.files import write_atomic
from manifests.media.encode import encode_flac
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


def write_round_trip(source: str | Path, target: Path) -> Path:
    """The round trip of a file's sound, and where it was written: 16-bit FLAC at `target`, or
    beside it a WAV of floats where the sound goes beyond full scale. Raises OSError, ValueError
    or NoScore."""
    sound = read_sound(source)
    back = round_trip(sound)
    if np.abs(sound).max() <= 1:
        pcm = np.rint(np.clip(back, -1, 1) * 32767).astype(np.int16)
        write_atomic(target, encode_flac(pcm))
        return target
    content = io.BytesIO()
    wavfile.write(content, SAMPLE_RATE, back)
    write_atomic(target.with_suffix(".wav"), content.getvalue())
    return target.with_suffix(".wav")
