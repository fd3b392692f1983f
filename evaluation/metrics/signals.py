"""What every metric on sound asks of its two signals."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.errors import LengthMismatch, Silent, TooShort

SAMPLE_RATE = 16000
SILENCE_DBFS = -70.0
"""Loudest 20 ms below this: silence. About 10 steps of 16-bit sound; speech is far above."""
MAX_GAP_SAMPLES = 1000
"""Lengths may differ by so much (62.5 ms): the evaluation code of Lip2Wav cuts silently, and
notes the pairs that differ by more."""


def loudest_dbfs(signal: np.ndarray) -> float:
    """RMS of the loudest 20 ms in dB re full scale; -inf for digital silence or no samples."""
    width = SAMPLE_RATE // 50
    if len(signal) == 0:
        return -np.inf
    frames = np.pad(signal, (0, -len(signal) % width)).reshape(-1, width)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1).max()
    return 10 * np.log10(power) if power > 0 else -np.inf


def check_sound(signal: np.ndarray, name: str) -> np.ndarray:
    """The signal as float64 [N]. Raises Silent, or ValueError for what is no mono signal."""
    signal = np.asarray(signal, np.float64)
    if signal.ndim != 1:
        raise ValueError(f"the {name} must be mono [N], not {signal.shape}")
    if not np.isfinite(signal).all():
        raise ValueError(f"the {name} holds samples that are not finite")
    if len(signal) == 0:
        raise TooShort(f"the {name} has no samples")
    if (level := loudest_dbfs(signal)) < SILENCE_DBFS:
        raise Silent(f"the loudest 20 ms of the {name} are at {level:.0f} dBFS")
    return signal


def pair(
    reference: np.ndarray, hypothesis: np.ndarray, max_gap: int = MAX_GAP_SAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [N], cut to the shorter; never stretched.

    Raises Silent, TooShort, or LengthMismatch if they differ by more than `max_gap` samples.
    """
    reference = check_sound(reference, "reference")
    hypothesis = check_sound(hypothesis, "hypothesis")
    gap = len(hypothesis) - len(reference)
    if abs(gap) > max_gap:
        raise LengthMismatch(
            f"the hypothesis is {abs(gap) / SAMPLE_RATE * 1000:.0f} ms "
            f"{'longer' if gap > 0 else 'shorter'} than the reference; "
            f"{max_gap / SAMPLE_RATE * 1000:.1f} ms are allowed")
    length = min(len(reference), len(hypothesis))
    return reference[:length], hypothesis[:length]
