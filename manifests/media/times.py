"""Presentation times: one rule for the probe and for every decoder.

In a sound file the packets' presentation times are the pictures' times and nothing has to be
decoded to know them (`Scan`). Where packets do not tell (AVI and ASF store no presentation times;
stamps are missing, doubled, far off, or the clock jumps), the pictures are decoded once in order,
and the times are made of what comes out:

- `jumps` finds stamps that stand alone, and places where the clock of sound and picture
  jumps; both are recorded by number of picture and packet, so that every later pass does the same.
- `BestEffort` chooses between presentation and decoding time, as libavcodec does: whichever has
  gone backwards or stood still less often so far.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from time import thread_time

import av

from manifests.media.streams import packets_of
from manifests.records import Video

WITHOUT_PRESENTATION_TIMES = frozenset({"avi", "asf", "asf_o", "rm"})
REORDERING_UNKNOWN = frozenset({"h264", "hevc", "vvc"})
"""Codecs whose order libavformat cannot tell from the packets. In those containers what it gives
as presentation time is a guess (decoding time plus one picture), so it is passed over."""
LONE_STEPS = 0.02
"""Share of steps under half a picture that counts as lone odd stamps and not as a variable rate."""
STEP_BACK_US = 500_000
STEP_US = 10_000_000
"""A longer step is looked at closely: a hold, a stamp that is off, or a jump of the clock."""


@dataclass
class Track:
    """Packets of one stream in file order; times in us, None where the packet has none."""

    pts_us: list[int | None] = field(default_factory=list)
    dts_us: list[int | None] = field(default_factory=list)
    duration_us: list[int] = field(default_factory=list)

    def times_us(self) -> list[int]:
        """Presentation time, else decoding time, of every packet that has one."""
        return [t for t in map(_either, self.pts_us, self.dts_us) if t is not None]

    def last_duration_us(self) -> int:
        """Duration of the packet that is shown last."""
        last, duration = None, 0
        for pts, dts, length in zip(self.pts_us, self.dts_us, self.duration_us, strict=True):
            time = _either(pts, dts)
            if time is not None and (last is None or time >= last):
                last, duration = time, length
        return duration


def _either(pts: int | None, dts: int | None) -> int | None:
    return dts if pts is None else pts


def stamp_us(stamp: int | None, time_base: Fraction | None) -> int | None:
    """`to_us` of a stamp that may be missing; without a time base it says nothing."""
    return None if stamp is None or time_base is None else to_us(stamp, time_base)


def to_us(stamp: int, time_base: Fraction) -> int:
    """`stamp` ticks in us, rounded half to even, in integers (as `round` of the fraction)."""
    scaled, unit = stamp * time_base.numerator * 1_000_000, time_base.denominator
    whole, rest = divmod(scaled, unit)
    return whole + (2 * rest > unit or (2 * rest == unit and whole & 1))


@dataclass
class Scan:
    """What the packets of picture and sound say."""

    video: Track = field(default_factory=Track)
    audio: Track = field(default_factory=Track)
    num_errors: int = 0
    is_encrypted: bool = False
    last_byte: int | None = None
    """Where the last packet of the two ends, about, where the format tells."""


def scan(
    container: av.container.InputContainer,
    video,
    audio,
    hear: Callable[[int, av.Packet[av.AudioStream]], None] | None = None,
) -> Scan:
    """Read every packet of the two streams; `hear` gets each sound packet with its number."""
    found, errors, last_byte = Scan(), 0, None
    pictures, sounds = found.video, found.audio
    video_index = video.index
    may_be_encrypted = "mov" in container.format.name
    bases = {video.index: video.time_base, audio.index: audio.time_base}
    packets = packets_of(container, video, audio)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.FFmpegError:
            errors += 1
            if errors > 100:
                break
            continue
        index = packet.stream_index
        is_video = index == video_index
        if not packet.size:
            continue
        if may_be_encrypted and packet.has_sidedata("encryption_info"):
            found.is_encrypted = True
        if is_video:
            if packet.is_discard:
                continue
        elif hear is not None:
            hear(len(sounds.pts_us), packet)
        pts, dts, base = packet.pts, packet.dts, bases[index]
        if not is_video and packet.is_discard:
            # Between two edits the sound is handed out with stamps that go back. It is not heard,
            # but counted, for packets are known by their number.
            pts = dts = None
        if is_video:
            errors += bool(packet.is_corrupt) and (pts is not None or dts is not None)
        track = pictures if is_video else sounds
        track.pts_us.append(stamp_us(pts, base))
        track.dts_us.append(stamp_us(dts, base))
        track.duration_us.append(to_us(packet.duration, base) if packet.duration else 0)
        if packet.pos is not None and (last_byte is None or packet.pos + packet.size > last_byte):
            last_byte = packet.pos + packet.size
    found.num_errors, found.last_byte = errors, last_byte
    return found


def stores_presentation_times(container: str, codec: str, codec_tag: str) -> bool:
    """Whether the file itself says when a picture is shown. Matroska that was made from AVI
    (marked by a Windows codec tag) does not."""
    if codec not in REORDERING_UNKNOWN:
        return True
    names = container.split(",")
    if "matroska" in names and codec_tag.strip("\0"):
        return False
    return not WITHOUT_PRESENTATION_TIMES.intersection(names)


def typical_us(steps: list[int], fallback: int = 40_000) -> int:
    """The median of the positive steps."""
    steps = sorted(s for s in steps if s > 0)
    return steps[len(steps) // 2] if steps else fallback


def need_pictures(track: Track) -> bool:
    """Whether the packets leave open when the pictures are shown, so that they must be decoded."""
    pts = [t for t in track.pts_us if t is not None]
    if len(pts) < len(track.pts_us):
        return True
    ordered = sorted(pts)
    steps = [b - a for a, b in zip(ordered, ordered[1:], strict=False)]
    if not steps:
        return False
    typical = typical_us(steps)
    if min(steps) <= 0 or max(steps) > max(STEP_US, 3 * typical):
        return True
    short = sum(2 * s < typical for s in steps)
    if 0 < short <= max(1, LONE_STEPS * len(steps)):
        return True
    reach = max(STEP_BACK_US, 17 * typical)
    latest = pts[0]
    for time, dts in zip(pts, track.dts_us, strict=True):
        if time < latest - reach or (dts is not None and dts > time):
            return True
        latest = max(latest, time)
    known = [t for t in track.dts_us if t is not None]
    return any(b < a for a, b in zip(known, known[1:], strict=False))


def goes_on(track: Track) -> bool:
    """Whether a sound's packets follow each other."""
    times = track.times_us()
    return all(-STEP_BACK_US <= b - a <= STEP_US for a, b in zip(times, times[1:], strict=False))


class BestEffort:
    """libavcodec's choice, picture by picture in the order of output.

    Presentation times, unless they have failed to rise more often so far than the decoding times
    have; a picture that has only one of them gets that one, with neither it follows the last by
    `period_us`.
    """

    def __init__(self, period_us: int) -> None:
        self.period_us = period_us
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._faulty_pts = self._faulty_dts = 0
        self._last: int | None = None

    def __call__(self, pts: int | None, dts: int | None) -> int | None:
        """The time in us; None for a first picture without any stamp."""
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        elif pts is not None:
            self._last_dts = pts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        elif dts is not None:
            self._last_pts = dts
        time: int | None
        if pts is not None and (dts is None or self._faulty_pts <= self._faulty_dts):
            time = pts
        elif dts is not None:
            time = dts
        else:
            time = None if self._last is None else self._last + self.period_us
        if time is not None:
            self._last = time
        return time


@dataclass(frozen=True)
class Repairs:
    """What is done to a broken clock: from picture `frames[i]` (and packet `packets[i]` of the
    sound) on, `shifts_us[i]` is added; picture `mended[i]` is shown at `mended_us[i]`."""

    frames: tuple[int, ...] = ()
    packets: tuple[int, ...] = ()
    shifts_us: tuple[int, ...] = ()
    mended: tuple[int, ...] = ()
    mended_us: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.frames or self.mended)


NO_REPAIRS = Repairs()


def repairs_of(video: Video) -> Repairs:
    """Those that the probe recorded."""
    return Repairs(
        tuple(video.jump_frames),
        tuple(video.jump_packets),
        tuple(video.jump_shifts_us),
        tuple(video.mended_frames),
        tuple(video.mended_times_us),
    )


def period_us_of(source_fps: str | None) -> int:
    """One picture at the average rate."""
    return round(1e6 / float(Fraction(source_fps))) if source_fps else 40_000


class PictureTimes:
    """Times of decoded pictures in the order of output, from the first of the file on."""

    def __init__(self, period_us: int, has_pts: bool, repairs: Repairs) -> None:
        self._choose, self._has_pts = BestEffort(period_us), has_pts
        self._starts = dict(zip(repairs.frames, repairs.shifts_us, strict=True))
        self._mended = dict(zip(repairs.mended, repairs.mended_us, strict=True))
        self._number, self._shift = -1, 0

    def __call__(self, pts: int | None, dts: int | None) -> int | None:
        """The time in us of the next picture, from its stamps in us."""
        self._number += 1
        self._shift = self._starts.get(self._number, self._shift)
        if self._number in self._mended:
            return self._mended[self._number]
        if pts is not None and dts is not None and abs(pts - dts) > STEP_US:
            dts = None  # of the packet that pushed this picture out, which is on another clock
        return self._choose(
            None if pts is None or not self._has_pts else pts + self._shift,
            None if dts is None else dts + self._shift,
        )


def stamps(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[tuple[int | None, int | None]]:
    """(pts, dts) in us of every picture, decoded in order; damaged packets are passed over."""
    for frame in decoded(container, stream):
        base = frame.time_base
        yield stamp_us(frame.pts, base), stamp_us(frame.dts, base)


_cpu_s: dict[int, float] = {}
"""CPU-seconds that each thread has decoded for, by its number."""


def decode_cpu_s() -> float:
    """CPU-seconds that this thread has spent so far in decoding pictures, and nothing else."""
    return _cpu_s.get(threading.get_ident(), 0.0)


def decoded(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    """Every picture of a stream that decodes; the neighbours of a damaged one stand in by time."""
    return decoded_of(stream, ((packet, True) for packet in packets_of(container, stream)))


def decoded_of(
    stream: av.VideoStream,
    packets: Iterator[tuple[av.Packet, bool]],
    on_damage: Callable[[], None] = lambda: None,
) -> Iterator[av.VideoFrame]:
    """As `decoded`, of packets that come with whether their picture is needed: one that is not is
    left out if no other refers to it. `on_damage` is told of what did not decode as it should."""
    context, thread = stream.codec_context, threading.get_ident()
    leaves_out = False
    while True:
        begun = thread_time()
        try:
            packet, is_needed = next(packets)
            if leaves_out == is_needed:
                leaves_out = not is_needed
                context.skip_frame = "NONREF" if leaves_out else "DEFAULT"
            frames = packet.decode()
        except (StopIteration, av.error.EOFError, av.error.ExitError):
            return
        except av.FFmpegError:
            on_damage()
            continue
        finally:
            _cpu_s[thread] = _cpu_s.get(thread, 0.0) + thread_time() - begun
        if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
            on_damage()
        yield from frames
