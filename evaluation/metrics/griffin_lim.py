"""Sound from mel spectrograms without a network: Griffin and Lim 1984, with the momentum of
Perraudin et al. 2013.

`round_trip` is what a model that predicts spectrograms can reach. Its spectrogram is the one of
Niu and Mak: 80 mel channels, window 640, hop 160; so is its row in every table of scores.
`sound_of_log_mel` makes a model's columns audible, on the canonical clock; `sound_of_log_power`
those of windows and hops of another length.
"""

from __future__ import annotations

import numpy as np

from evaluation.metrics.errors import TooShort
from evaluation.metrics.spectra import HOP_LENGTH, WIN_LENGTH, magnitude, mel_bank
from manifests.spectra import inverse_stft, stft

NUM_ITERATIONS, MOMENTUM = 60, 0.99
POWER_ITERATIONS = 50


def round_trip(signal: np.ndarray) -> np.ndarray:
    """Sound to mel magnitudes and back: float32 [N], of the same length. Raises TooShort."""
    if len(signal) < WIN_LENGTH:
        raise TooShort(f"{len(signal)} samples are less than one window of {WIN_LENGTH}")
    # Half a window on either side, so that the first and last samples are in as many frames.
    edge = WIN_LENGTH // 2
    tail = -(len(signal) + 2 * edge - WIN_LENGTH) % HOP_LENGTH
    padded = np.pad(np.asarray(signal, np.float64), (edge, edge + tail))
    mel = magnitude(padded) @ mel_bank().T
    sound = _invert(_magnitudes_of(mel, mel_bank()), NUM_ITERATIONS)
    return sound[edge : edge + len(signal)].astype(np.float32)


def sound_of_log_mel(
    log_mel: np.ndarray, bank: np.ndarray, num_iterations: int = NUM_ITERATIONS
) -> np.ndarray:
    """The sound of a spectrogram whose column j is centred on 10 j + 5 ms: float32 [160 C].

    `log_mel` float [C, M], natural log of the magnitudes of windows of 640 every 160 samples, the
    first of which begins 240 samples (filled up by whatever means) before the sound; `bank`
    [M, 321] of `manifests/spectra.py`. Nothing is moved: sample 160 j + 80 is the centre of column
    j. The same input gives the same bytes. Raises ValueError for no columns, columns of another
    bank, or values that are not finite.
    """
    if log_mel.ndim != 2 or len(log_mel) == 0 or log_mel.shape[1] != len(bank):
        raise ValueError(f"columns {log_mel.shape} are no spectrogram of {len(bank)} bands")
    if not np.isfinite(log_mel).all():
        raise ValueError("the spectrogram holds values that are not finite")
    mel = np.exp(np.asarray(log_mel, np.float64))
    return sound_of_magnitudes(_magnitudes_of(mel, bank), num_iterations)


def sound_of_magnitudes(
    magnitudes: np.ndarray,
    num_iterations: int = NUM_ITERATIONS,
    first_centre: int = HOP_LENGTH // 2,
) -> np.ndarray:
    """The sound of linear magnitudes [C, 321], at least 0, whose columns lie as those of
    `sound_of_log_mel`, or are centred on sample 160 j + `first_centre`: float32 [160 C]. Raises
    ValueError for columns of another shape, or values that are not finite."""
    if magnitudes.ndim != 2 or len(magnitudes) == 0 or magnitudes.shape[1] != WIN_LENGTH // 2 + 1:
        raise ValueError(f"columns {magnitudes.shape} are no spectrogram of windows of 640")
    if not np.isfinite(magnitudes).all():
        raise ValueError("the spectrogram holds values that are not finite")
    sound = _invert(np.asarray(magnitudes, np.float64), num_iterations)
    edge = WIN_LENGTH // 2 - first_centre
    return sound[edge : edge + HOP_LENGTH * len(magnitudes)].astype(np.float32)


def _magnitudes_of(mel: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Magnitudes [T, F], at least 0, of mel magnitudes [T, M]: least squares by the pseudo-inverse.
    Least squares held at 0 (NNLS) was tried: STOI of round trips fell by up to .07."""
    return np.maximum(mel @ np.linalg.pinv(bank).T, 0.0)


def sound_of_log_power(
    log_mel: np.ndarray,
    bank: np.ndarray,
    win_length: int,
    hop_length: int,
    num_iterations: int = NUM_ITERATIONS,
) -> np.ndarray:
    """The sound of a spectrogram of power whose column j is centred on sample `hop_length` j:
    float32 [hop_length (C - 1)]. `log_mel` float [C, M], its natural log; `bank` [M, F]. Raises
    ValueError as `sound_of_log_mel`."""
    if log_mel.ndim != 2 or len(log_mel) == 0 or log_mel.shape[1] != len(bank):
        raise ValueError(f"columns {log_mel.shape} are no spectrogram of {len(bank)} bands")
    if not np.isfinite(log_mel).all():
        raise ValueError("the spectrogram holds values that are not finite")
    power = _power_of(np.exp(np.asarray(log_mel, np.float64)), bank)
    sound = _invert(np.sqrt(power), num_iterations, win_length, hop_length)
    edge = win_length // 2
    return sound[edge : len(sound) - edge].astype(np.float32)


def _power_of(mel: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Power [T, F], at least 0, of mel power [T, M]: the likeliest of Poisson's noise, by the
    multiplicative rule of Richardson and Lucy. Loud bands do not drown quiet ones, as they do by
    least squares: of a sweep's round trip the logarithm was off by .2 (squared) instead of 2.5."""
    weight = np.maximum(bank.sum(0), 1e-9)
    power = mel @ bank / weight
    for _ in range(POWER_ITERATIONS):
        power *= (mel / np.maximum(power @ bank.T, 1e-12)) @ bank / weight
    return power


def _invert(
    target: np.ndarray,
    num_iterations: int,
    win_length: int = WIN_LENGTH,
    hop_length: int = HOP_LENGTH,
) -> np.ndarray:
    """Sound whose magnitudes come close to `target` [T, F]; the first phases are random with a
    fixed seed."""
    rng = np.random.default_rng(0)
    estimate = target * np.exp(2j * np.pi * rng.random(target.shape))
    previous = np.zeros_like(estimate)
    for _ in range(num_iterations):
        sound = inverse_stft(estimate, win_length, hop_length)
        consistent = stft(sound, win_length, hop_length)
        ahead = consistent + MOMENTUM * (consistent - previous)
        previous = consistent
        estimate = target * ahead / np.maximum(np.abs(ahead), 1e-12)
    return inverse_stft(estimate, win_length, hop_length)
