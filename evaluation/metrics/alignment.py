"""The time alignment frontend of Niu and Mak 2023, section 4.3.

Mel spectrograms (window 640, hop 160) of both signals are normalised over their channels; of
61 shifts of the hypothesis from -300 to 300 ms, in steps of 10 ms, the one with the least mean
squared error is applied before scoring. Its negative is the frontend offset o_f: positive when
the hypothesis is late. The paper leaves open the logarithm, the number of channels, the axis
of "channel dimension" and the edges; what is done here: 80 log channels, each frame brought
to zero mean and unit deviation over its channels, the mean taken over frames that both have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.metrics.errors import LengthMismatch, TooShort
from evaluation.metrics.signals import MAX_GAP_SAMPLES, SAMPLE_RATE, check_sound
from evaluation.metrics.spectra import HOP_LENGTH, WIN_LENGTH, log_mel
from manifests.numbers import signed_ms

STEP_MS, SEARCH_MS = 10, 300
MIN_OVERLAP_FRAMES = 10
"""A shift that leaves less in common is no proposal: a few frames agree by chance."""
MIN_SAMPLES = WIN_LENGTH + (MIN_OVERLAP_FRAMES - 1) * HOP_LENGTH
EPS = 1e-5


@dataclass(frozen=True)
class Alignment:
    """The shift that was found. `offset_ms` is o_f, `at_limit` that it is the outermost."""

    shift_ms: int
    error: float
    at_limit: bool

    @property
    def offset_ms(self) -> int:
        return -self.shift_ms


def find_shift(reference: np.ndarray, hypothesis: np.ndarray) -> Alignment:
    """The best shift of the hypothesis; > 0 delays it. Both float [N] at 16 kHz, of any
    lengths. Of equal errors the smallest shift wins. Raises NoScore."""
    reference = check_sound(reference, "reference")
    hypothesis = check_sound(hypothesis, "hypothesis")
    _check_lengths(len(reference), len(hypothesis))
    return align_mels(log_mel(reference), log_mel(hypothesis))


def align_mels(reference: np.ndarray, hypothesis: np.ndarray) -> Alignment:
    """The same of two log mels [T, M] with a column each 10 ms. Raises TooShort where no shift
    leaves 10 columns in common."""
    fixed, moving = _normalised(reference), _normalised(hypothesis)
    limit = SEARCH_MS // STEP_MS
    proposals = []
    for frames in sorted(range(-limit, limit + 1), key=abs):
        start, end = max(0, frames), min(len(fixed), len(moving) + frames)
        if end - start >= MIN_OVERLAP_FRAMES:
            difference = fixed[start:end] - moving[start - frames : end - frames]
            proposals.append((float(np.mean(difference**2)), frames))
    if not proposals:
        raise TooShort(f"{len(fixed)} and {len(moving)} columns are too few to align")
    error, frames = min(proposals, key=lambda p: p[0])
    return Alignment(frames * STEP_MS, error, abs(frames) == limit)


def _check_lengths(reference: int, hypothesis: int) -> None:
    """Raises TooShort where no shift leaves enough in common, LengthMismatch where the longer
    one is the reason that it could not."""
    if min(reference, hypothesis) >= MIN_SAMPLES:
        return
    lengths = (
        f"the reference is {_ms(reference):.0f} ms long and the hypothesis {_ms(hypothesis):.0f} ms"
    )
    if abs(reference - hypothesis) > MAX_GAP_SAMPLES + SEARCH_MS * SAMPLE_RATE // 1000:
        raise LengthMismatch(f"{lengths}, which no shift of up to {SEARCH_MS} ms explains")
    raise TooShort(f"too short to align: {lengths}; {_ms(MIN_SAMPLES):.0f} ms are needed")


def _ms(samples: int) -> float:
    return samples / SAMPLE_RATE * 1000


def apply_shift(
    reference: np.ndarray,
    hypothesis: np.ndarray,
    shift_ms: int,
    max_gap: int = MAX_GAP_SAMPLES,
) -> tuple[np.ndarray, np.ndarray]:
    """Both signals over the span they share once the hypothesis is moved; nothing is filled in.

    Returns float [N] twice. Raises LengthMismatch where an end is missing that the shift does
    not account for.
    """
    shift = shift_ms * SAMPLE_RATE // 1000
    gap = len(hypothesis) - len(reference)
    if min(abs(gap), abs(gap + shift)) > max_gap:
        raise LengthMismatch(
            f"the hypothesis is {abs(gap) / SAMPLE_RATE * 1000:.0f} ms "
            f"{'longer' if gap > 0 else 'shorter'} than the reference, which the shift found, "
            f"{signed_ms(shift_ms)}, does not explain"
        )
    start, end = max(0, shift), min(len(reference), len(hypothesis) + shift)
    return reference[start:end], hypothesis[start - shift : end - shift]


def _normalised(mel: np.ndarray) -> np.ndarray:
    """Log mel [T, M], each frame with zero mean and unit deviation over its channels."""
    mel = mel - mel.mean(axis=1, keepdims=True)
    return mel / (mel.std(axis=1, keepdims=True) + EPS)


assert STEP_MS * SAMPLE_RATE == HOP_LENGTH * 1000  # a step is one frame
