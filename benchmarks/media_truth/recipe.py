"""How a file is written, as data; and what its pictures and sounds then truly are.

Times are seconds of the clip: its speech and its marks begin at 0. What a muxer adds to all
stamps alike (MPEG-TS begins at 1.4 s) is no part of the truth, which counts from the first
picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

Step = Callable[[Path], Path]
"""Makes the next file from the last one, and gives its path."""

FAST_H264 = {"preset": "ultrafast", "g": "25"}
B_FRAMES = {"preset": "veryfast", "g": "25", "bf": "2", "threads": "1"}
NTSC = Fraction(30000, 1001)


@dataclass(frozen=True)
class Sound:
    """One track of sound."""

    codec: str = "aac"
    rate_hz: int = 48000
    gains: tuple[float, ...] = (1.0, 1.0)
    """A channel each; what the channels hold is the same but for its level."""
    layout: str | None = None
    """libavutil's name; None: mono, stereo, or so many channels without places."""
    seed: int = 0
    start_s: float = 0.0
    end_s: float | None = None
    options: dict = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    """Dispositions: default, dub, original, comment, ..."""
    language: str | None = None
    lost_s: tuple[tuple[float, float], ...] = ()
    """Packets that begin in here never reach the file."""

    @property
    def layout_name(self) -> str:
        count = len(self.gains)
        return self.layout or {1: "mono", 2: "stereo"}.get(count, f"{count}C")


@dataclass(frozen=True)
class Shift:
    """Packets between two times of the clip carry stamps that are `add_s` later."""

    add_s: float
    from_s: float = float("-inf")
    to_s: float = float("inf")
    kinds: tuple[str, ...] = ("video", "audio")
    decoding_too: bool = True
    """Else only presentation times: packets keep their places in the file."""


@dataclass(frozen=True)
class Recipe:
    """One file, or one part of a file that is joined from several."""

    container: str = "mp4"
    """libavformat's muxer."""
    suffix: str = ".mp4"
    codec: str = "libx264"
    codec_options: dict = field(default_factory=lambda: dict(FAST_H264))
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (160, 128)
    """Width and height of the coded picture before any step turns it."""
    later_sizes: tuple[tuple[float, tuple[int, int]], ...] = ()
    """(time, size): from then on the encoder is another one, in the same stream."""
    coded_as: str = "upright"
    """How the coded picture stands: a key of `counter.ORIENTATIONS`."""
    rate: Fraction = Fraction(25)
    seconds: float = 3.0
    start_s: float = 0.0
    holes_s: tuple[tuple[float, float], ...] = ()
    """Pictures in here were never taken."""
    uneven_ms: tuple[int, int] | None = None
    """Shortest and longest interval of a variable rate."""
    ticks: Fraction | None = None
    """Time base of the encoder; None: one that holds the rate exactly."""
    stream_settings: dict = field(default_factory=dict)
    """Attributes of the video encoder: sample_aspect_ratio, color_range, color_trc, ..."""
    first_number: int = 0
    sounds: tuple[Sound, ...] = (Sound(),)
    sound_first: bool = False
    options: dict = field(default_factory=dict)
    """Of the muxer."""
    cover: str | None = None
    """A still picture in the file: "first" or "last" among its streams."""
    shifts: tuple[Shift, ...] = ()
    steps: tuple[Step, ...] = ()

    def times_s(self) -> list[Fraction]:
        """When each picture of the file is shown."""
        start, end = Fraction(self.start_s).limit_denominator(90_000), self.start_s + self.seconds
        if self.uneven_ms is None:
            times = [start + i / self.rate for i in range(round(self.seconds * self.rate))]
        else:
            low, high = self.uneven_ms
            times, state = [start], 12345
            while times[-1] < end:
                state = (1103515245 * state + 12345) % (1 << 31)
                times.append(times[-1] + Fraction(low + state // 65536 % (high - low + 1), 1000))
        return [t for t in times if not any(a <= t < b for a, b in self.holes_s)]
