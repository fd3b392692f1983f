"""What every metric on sound asks of its two signals."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.errors import LengthMismatch, Silent, TooShort

SAMPLE_RATE = 16000
SILENCE_DBFS = -70.0
"""Loudest 20 ms below this: silence. About 10 steps of 16-bit sound; speech is far above."""
OFFSET_ROUNDING = 1e-5
MAX_GAP_SAMPLES = 1000
"""Lengths may differ by so much (62.5 ms): the evaluation code of Lip2Wav cuts silently, and
notes the pairs that differ by more."""


def loudest_dbfs(signal: np.ndarray) -> float:
    """RMS of the loudest 20 ms in dB re full scale; -inf where nothing is to be heard.

    Each 20 ms are taken about their own straight line, because an offset, steady or drifting, is
    no sound; what is left 100 dB under the offset is its rounding.
    """
    width = min(len(signal), SAMPLE_RATE // 50)
    if width < 3:
        return -np.inf
    signal = np.asarray(signal, np.float64)
    whole = signal[: len(signal) // width * width].reshape(-1, width)
    return max(_loudest_dbfs(part) for part in (whole, signal[-width:][None]))


def _loudest_dbfs(frames: np.ndarray) -> float:
    time = np.arange(frames.shape[1]) - (frames.shape[1] - 1) / 2
    offset = frames.mean(axis=1)
    slope = frames @ time / (time @ time)
    power = np.mean((frames - offset[:, None] - slope[:, None] * time) ** 2, axis=1)
    power = power[power > (OFFSET_ROUNDING * offset) ** 2].max(initial=0.0)
    return 10 * np.log10(power) if power > 0 else -np.inf


def check_finite(signal: np.ndarray, name: str) -> np.ndarray:
    """The signal as float64 [N]. Raises ValueError for what is no mono signal of numbers."""
    signal = np.asarray(signal, np.float64)
    if signal.ndim != 1:
        raise ValueError(f"the {name} must be mono [N], not {signal.shape}")
    if not np.isfinite(signal).all():
        raise ValueError(f"the {name} holds samples that are not finite")
    return signal


def check_sound(signal: np.ndarray, name: str) -> np.ndarray:
    """The signal as float64 [N]. Raises Silent, TooShort, or ValueError as `check_finite`."""
    signal = check_finite(signal, name)
    if len(signal) == 0:
        raise TooShort(f"the {name} has no samples")
    level = loudest_dbfs(signal)
    if level == -np.inf:
        low, high = signal.min(), signal.max()
        raise Silent(
            f"the {name} is digital silence"
            if low == high == 0
            else f"the {name} holds an offset ({signal.mean():.3g} of full scale) and no sound"
        )
    if level < SILENCE_DBFS:
        raise Silent(
            f"the loudest 20 ms of the {name} are at {level:.0f} dBFS; "
            f"under {SILENCE_DBFS:.0f} is silence"
        )
    return signal


def within_full_scale(signal: np.ndarray) -> np.ndarray:
    """The signal as it may become integers: where its peak is beyond full scale, all of it is
    scaled down to it, so that nothing is clipped. Raises ValueError for what is not finite."""
    peak = float(np.abs(check_finite(signal, "sound")).max(initial=0.0))
    return signal if peak <= 1 else signal / signal.dtype.type(peak)


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
            f"{max_gap / SAMPLE_RATE * 1000:.1f} ms are allowed"
        )
    length = min(len(reference), len(hypothesis))
    return reference[:length], hypothesis[:length]
