"""The canonical clock (docs/clock.md): 25 frames per second, 16 kHz, one zero.

Frame k of a video is the source frame nearest in presentation time to t0 + k/25 s, where t0 is
the presentation time of the first video frame: before it there is nothing to see, so there is
no sample; audio from before it is cut, audio that begins later is preceded by silence. One
frame is 640 samples. Nearest, and not the frame before or after, because those add a mean lag
of half a source frame.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

FRAME_RATE = Fraction(25)
SAMPLE_RATE = 16000
SAMPLES_PER_FRAME = 640
FRAME_MS = 40.0


@dataclass(frozen=True)
class Clock:
    """Canonical frames at `rate` (exact) from `zero_us` of the file's own time."""

    zero_us: int
    rate: Fraction = FRAME_RATE

    def time_us(self, frame: int) -> Fraction:
        """Presentation time of a canonical frame in the file's own time, exact."""
        return self.zero_us + Fraction(frame * 1_000_000) / self.rate

    def num_frames(self, end_us: int) -> int:
        """Frames k >= 0 with k/rate before the end of the last source frame."""
        span = Fraction(end_us - self.zero_us) * self.rate / 1_000_000
        # Containers round to milliseconds: half a millisecond is no frame of its own.
        return max(0, -int(-(span - Fraction(self.rate * 500, 1_000_000)) // 1))

    def last_frame_of(self, pts_us: int, next_pts_us: int) -> int:
        """The last canonical frame for which the source frame at `pts_us` is the nearest,
        when the next source frame is at `next_pts_us`; a tie goes to the earlier frame."""
        middle = Fraction(pts_us + next_pts_us, 2) - self.zero_us
        return int(middle * self.rate / 1_000_000 // 1)


def nearest_indices(pts_us: Sequence[int], clock: Clock, num_frames: int) -> list[int]:
    """Slow reference: for each canonical frame the index of the nearest source frame.

    `pts_us` is sorted. A tie goes to the earlier frame.
    """
    picks = []
    for frame in range(num_frames):
        time = clock.time_us(frame)
        right = bisect_left(pts_us, time)
        if right == 0:
            picks.append(0)
        elif right == len(pts_us):
            picks.append(right - 1)
        else:
            before, after = time - pts_us[right - 1], pts_us[right] - time
            picks.append(right if after < before else right - 1)
    return picks


def samples_of(frame: int, rate: Fraction = FRAME_RATE) -> int:
    """The sample that a frame begins at; 640 per frame at 25 fps."""
    return round(Fraction(frame * SAMPLE_RATE) / rate)


def seconds_of(num_frames: float) -> float:
    """How long so many canonical frames last."""
    return num_frames / float(FRAME_RATE)


def lag_to_samples(lag_ms: float) -> int:
    """A lag in whole samples at 16 kHz."""
    return round(lag_ms * SAMPLE_RATE / 1000)
