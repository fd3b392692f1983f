"""When each picture of a file is shown: from its packets, or from the pictures themselves."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from manifests.media.jumps import find as find_repairs
from manifests.media.jumps import must_be_bounded
from manifests.media.streams import MediaError, open_media, stream_of
from manifests.media.times import (
    NO_REPAIRS,
    PictureTimes,
    Repairs,
    Scan,
    goes_on,
    need_pictures,
    period_us_of,
    stamps,
    stores_presentation_times,
    typical_us,
)
from manifests.numbers import number


@dataclass(frozen=True)
class Order:
    """Sorted presentation times in us, and how they were found (`records.Video`)."""

    times_us: list[int]
    last_duration_us: int
    source: str = "packets"
    repairs: Repairs = NO_REPAIRS
    source_fps: str | None = None
    notes: tuple[str, ...] = ()


def order_of(
    path: str | Path,
    stream: int,
    container: str,
    codec: str,
    codec_tag: str,
    nominal: Fraction | None,
    found: Scan,
) -> Order:
    """The times of the pictures of `stream`. Decodes them where packets do not tell.

    Raises MediaError (unreadable, clock_jump).
    """
    packets, duration = found.video.times_us(), found.video.last_duration_us()
    if not packets:
        raise MediaError("unreadable", "the video stream holds no packets")
    has_own = stores_presentation_times(container, codec, codec_tag)
    if has_own and not need_pictures(found.video):
        packets = sorted(packets)
        if goes_on(found.audio) or not find_repairs([(t, t) for t in packets], found.audio):
            return Order(packets, duration)
    with open_media(path) as opened:
        shown = list(stamps(opened, stream_of(opened, stream)))
    if not has_own:
        shown = [(None, dts) for _, dts in shown]
    repairs = find_repairs(shown, found.audio)
    period = typical_us([b - a for a, b in zip(packets, packets[1:], strict=False)])
    # Twice, so that later passes, which know the rate from the record, get the same times.
    fps = average_fps(_times(shown, period, repairs), nominal)
    times = _times(shown, period_us_of(fps), repairs)
    must_be_bounded(times, found.audio, repairs)
    return Order(
        sorted(times),
        duration,
        "best_effort" if has_own else "dts",
        repairs,
        fps,
        tuple(_notes(shown, times, repairs)),
    )


def average_fps(times_us: list[int], nominal: Fraction | None) -> str | None:
    """Pictures per second as a fraction: the stream's own figure where it is true to 0.1 %."""
    if len(times_us) < 2 or max(times_us) <= min(times_us):
        return None
    fps = Fraction((len(times_us) - 1) * 1_000_000, max(times_us) - min(times_us))
    if nominal and abs(fps / nominal - 1) < Fraction(1, 1000):
        fps = Fraction(nominal)
    return str(fps.limit_denominator(1001))


def _times(shown: list, period_us: int, repairs: Repairs) -> list[int]:
    choose = PictureTimes(period_us, True, repairs)
    times = [time for time in (choose(*stamp) for stamp in shown) if time is not None]
    if not times:
        raise MediaError("unreadable", "no picture of the video has a time")
    return times


def _notes(shown: list, times: list[int], repairs: Repairs):
    before = 0
    for index, shift in zip(repairs.frames, repairs.shifts_us, strict=True):
        at_s = (times[min(index, len(times) - 1)] - times[0]) / 1e6
        yield (
            f"clock_jump: the clock jumps by {number((before - shift) / 1e6, 3, True)} s "
            f"at {at_s:.3f} s; "
            "what follows is shown right after what was before"
        )
        before = shift
    if repairs.mended:
        first, time = repairs.mended[0], repairs.mended_us[0]
        stamp = shown[first][1] if shown[first][0] is None else shown[first][0]
        off_s = 0.0 if stamp is None else (stamp - time) / 1e6
        yield (
            f"odd_stamps: {len(repairs.mended)} pictures with stamps that stand alone (the "
            f"first {number(off_s, 3, True)} s off) are shown between their neighbours"
        )
    late, latest = 0, times[0]
    for time in times[1:]:
        late += time <= latest
        latest = max(time, latest)
    if late:
        yield f"late_pictures: {late} pictures are stamped no later than one before, and not shown"
