"""Streams and timestamps of a media file: everything the clock needs, without decoding it all.

Timestamps are read packet by packet (edit lists are applied by the demuxer; packets it marks
for discarding do not count). Of the picture one frame is decoded, because only it tells rotation
and pixel format, and all of them only where packets leave open when they are shown
(`times`); of the sound the first block, which tells where sound really begins after priming,
and where there are several channels stretches of it, to hear whether they cancel (`mix`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.sidedata.sidedata import Type as SideDataType

from manifests.clock import FRAME_RATE, Clock
from manifests.media.mix import PhaseWatch
from manifests.media.order import Order, average_fps, order_of
from manifests.media.orientation import orientation_of
from manifests.media.streams import Chosen, MediaError, choose, open_media, stream_of
from manifests.media.times import Scan, scan, stamp_us, to_us
from manifests.media.truncation import (
    REORDERED,
    before_the_cut,
    broken_promise,
    cut_note,
    promised_length_us,
    unread_note,
)

__all__ = ["Facts", "MediaError", "read_facts", "stream_of", "why_unreadable"]

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
VFR_TOLERANCE_US = 2000
PACKET_US = 100_000
LOST_WITH_THE_END = frozenset({"unreadable", "no_video", "no_decoder", "no_packets"})
"""Reasons that a file may have because its end is missing; `no_packets`: of a stream that it says
it has."""
REASONS = {"no_packets": "no_audio"}
"""What a reason is called for a file that is whole."""


@dataclass(frozen=True)
class Facts:
    """What `read_facts` found; times in microseconds of the file's own clock."""

    container: str
    video_codec: str
    audio_codec: str
    video_stream: int
    audio_stream: int
    num_audio_streams: int
    audio_language: str | None
    width_px: int
    height_px: int
    rotation_deg: int
    sample_aspect_ratio: str
    pixel_format: str
    is_hdr: bool
    source_fps: str | None
    is_vfr: bool
    zero_us: int
    video_start_us: int
    audio_start_us: int
    container_lag_ms: float
    duration_us: int
    num_frames: int
    frame_rate: str
    num_decode_errors: int
    is_mirrored: bool = False
    time_source: str = "packets"
    jump_frames: list[int] = field(default_factory=list)
    jump_packets: list[int] = field(default_factory=list)
    jump_shifts_us: list[int] = field(default_factory=list)
    mended_frames: list[int] = field(default_factory=list)
    mended_times_us: list[int] = field(default_factory=list)
    audio_channel: int | None = None
    is_truncated: bool = False
    promised_duration_us: int | None = None
    notes: list[str] = field(default_factory=list)


def read_facts(path: str | Path, rate: Fraction = FRAME_RATE) -> Facts:
    """Facts of the file at `path`.

    Raises MediaError (no_video, no_audio, no_decoder, encrypted, too_many_channels, clock_jump,
    truncated, unreadable).
    """
    try:
        return _read(path, rate)
    except MediaError as error:
        found = error
    except (av.FFmpegError, OSError) as error:
        found = MediaError("unreadable", why_unreadable(path, error))
    promise = broken_promise(path) if found.reason in LOST_WITH_THE_END else None
    if promise is not None:
        size = Path(path).stat().st_size
        found = MediaError(
            "truncated",
            f"it ends after {size} of {promise.num_bytes} bytes, and "
            f"what is there cannot be read ({found})",
            size,
            promise.num_bytes,
        )
    reason = REASONS.get(found.reason, found.reason)
    raise MediaError(reason, f"{Path(path).name}: {found}", found.measured, found.threshold)


def _read(path: str | Path, rate: Fraction) -> Facts:
    chosen = choose(path)
    with open_media(path) as container:
        video, audio = stream_of(container, chosen.video), stream_of(container, chosen.audio)
        streams = _stream_facts(container, video, audio)
        promised_us = _promised_us(container, video)
        tag = _tag_of(video)
        watch, hear = _listener(audio)
        found = scan(container, video, audio, hear)
    if found.is_encrypted:
        raise MediaError("encrypted", "picture or sound is encrypted")
    order = order_of(
        path,
        chosen.video,
        streams["container"],
        streams["video_codec"],
        tag,
        streams["nominal"],
        found,
    )
    return _facts(path, chosen, streams, order, found, watch, promised_us, rate)


def why_unreadable(path: str | Path, error: Exception) -> str:
    """Why a file does not open, in words, with the remedy where there is one."""
    if isinstance(error, FileNotFoundError):
        return "the file is not there"
    if Path(path).is_file() and Path(path).stat().st_size == 0:
        return "an empty file"
    if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
        return "not a media file, or damaged"
    if Path(path).is_dir():
        return "a folder, where a file is wanted"
    if isinstance(error, PermissionError) and not os.access(path, os.R_OK):
        return "the file may not be read by this user; change its permissions"
    # Lengths and counts in a damaged file are asked of the system, so FFmpeg's words for what is
    # wrong with the file (no memory, invalid argument, out of range) are those for the system.
    said = (getattr(error, "strerror", None) or str(error)).lower()
    return (
        f"damaged, or of a kind that FFmpeg does not read (it says: {said}); fetch it again, "
        "or repair it with `ffmpeg -i IN -c copy OUT`"
    )


def _stream_facts(container, video, audio) -> dict:
    """What must be read while the file is open: its streams do not outlive it."""
    return {
        "container": container.format.name,
        "video_codec": video.codec_context.name,
        "audio_codec": audio.codec_context.name,
        "video_stream": video.index,
        "audio_stream": audio.index,
        "num_audio_streams": len(container.streams.audio),
        "audio_language": audio.language,
        "nominal": video.average_rate,
        "sar": video.codec_context.sample_aspect_ratio or video.sample_aspect_ratio,
    }


def _tag_of(video) -> str:
    """The container's own mark of the codec; what is no text (types of MPEG-TS) as "?"."""
    try:
        return video.codec_context.codec_tag
    except UnicodeDecodeError:
        return "?"


def _promised_us(container, video) -> int | None:
    """How long the header says the picture is; None where only the data tells."""
    names = container.format.name.split(",")
    if "mov" in names and video.duration:
        return to_us(video.duration, video.time_base)
    if {"mov", "matroska", "avi", "asf", "flv"}.intersection(names):
        return container.duration
    return None


def _listener(
    audio,
) -> tuple[PhaseWatch | None, Callable[[int, av.Packet[av.AudioStream]], None] | None]:
    """What hears whether channels cancel; none for one channel."""
    if audio.codec_context.layout.nb_channels < 2:
        return None, None
    watch, fresh = PhaseWatch(), 0

    def hear(number: int, packet: av.Packet[av.AudioStream]) -> None:
        nonlocal fresh
        if not watch.wants(number):
            return
        if watch.is_fresh(number):
            fresh = 2  # a decoder that was not shown the packets before begins with noise
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return
        if fresh:
            fresh -= 1
            return
        for frame in frames:
            watch.add(number, frame)

    return watch, hear


def _facts(
    path,
    chosen: Chosen,
    streams: dict,
    order: Order,
    found: Scan,
    watch: PhaseWatch | None,
    promised_us: int | None,
    rate: Fraction,
) -> Facts:
    first, sound, pts = chosen.picture, chosen.sound, order.times_us
    zero = stamp_us(first.pts, first.time_base) if order.source == "packets" else None
    zero = pts[0] if zero is None else zero
    pts = [p for p in pts if p >= zero] or [zero]
    promise = broken_promise(path)
    if promise is not None:
        pts = before_the_cut(pts)
    steps = sorted(b - a for a, b in zip(pts, pts[1:], strict=False))
    last = order.last_duration_us
    typical = steps[len(steps) // 2] if steps else (last or 40_000)
    end = pts[-1] + (last if last and last < 4 * typical else typical)
    sound_start = stamp_us(sound.pts, sound.time_base)
    sound_start = zero if sound_start is None else sound_start
    _must_meet(zero, end, sound_start, found, order)
    nominal, sar = streams.pop("nominal"), streams.pop("sar")
    sar = Fraction(sar) if sar and sar > 0 else Fraction(1)
    mirrored, rotation = orientation_of(_display_matrix(first))
    width, height = round(first.width * sar), first.height
    if rotation in (90, 270):
        width, height = height, width
    transfer = int(getattr(first, "color_trc", 0) or 0)
    channel = watch.channel() if watch is not None else None
    notes = list(order.notes)
    if promise is not None:
        promised_us = promised_length_us(promise, promised_us, end - zero)
        notes.append(cut_note(path, promise, end - zero, promised_us))
    unread = (
        None if promise is not None else unread_note(path, streams["container"], found.last_byte)
    )
    notes += [unread] if unread else []
    if watch is not None and channel is not None:
        notes.append(
            f"audio_mix: the channels cancel in {watch.cancelled_share():.0%} of the "
            f"sound; channel {channel} alone is heard"
        )
    repairs = order.repairs
    return Facts(
        **streams,
        width_px=width,
        height_px=height,
        rotation_deg=rotation,
        sample_aspect_ratio=f"{sar.numerator}:{sar.denominator}",
        pixel_format=first.format.name,
        is_hdr=transfer in HDR_TRANSFERS,
        source_fps=order.source_fps or average_fps(pts, nominal),
        is_vfr=_is_uneven(pts, order, streams["container"]),
        zero_us=zero,
        video_start_us=0,
        audio_start_us=sound_start - zero,
        container_lag_ms=(sound_start - zero) / 1000,
        duration_us=end - zero,
        num_frames=Clock(zero, rate).num_frames(end),
        frame_rate=str(rate),
        num_decode_errors=found.num_errors,
        is_mirrored=mirrored,
        time_source=order.source,
        jump_frames=list(repairs.frames),
        jump_packets=list(repairs.packets),
        jump_shifts_us=list(repairs.shifts_us),
        mended_frames=list(repairs.mended),
        mended_times_us=list(repairs.mended_us),
        audio_channel=channel,
        is_truncated=promise is not None,
        promised_duration_us=promised_us if promise is not None else None,
        notes=notes,
    )


def _display_matrix(frame: av.VideoFrame) -> bytes | None:
    data = frame.side_data.get(  # type: ignore[call-overload]  # the stub knows motion vectors alone
        SideDataType.DISPLAYMATRIX
    )
    return None if data is None else bytes(data)


def _is_uneven(pts: list[int], order: Order, container: str) -> bool:
    """Whether the rate varies. What a stream of packets lacks where it was cut off does not count,
    nor do the seams of its parts."""
    steps = [b - a for a, b in zip(pts, pts[1:], strict=False)]
    if {"mpegts", "mpeg"}.intersection(container.split(",")) and len(steps) > 2 * REORDERED:
        steps = steps[:-REORDERED]
    steps.sort()
    steps = steps[: len(steps) - len(order.repairs.frames)]
    return bool(steps) and steps[-1] - steps[0] > VFR_TOLERANCE_US


def _must_meet(zero: int, end: int, sound_start: int, found: Scan, order: Order) -> None:
    """Sound that is wholly elsewhere than the picture is on another clock. Raises MediaError."""
    times = found.audio.times_us()
    if not times:
        return
    shift = order.repairs.shifts_us[-1] if order.repairs.shifts_us else 0
    sound_end = max(times) + shift + PACKET_US
    if sound_start < end and sound_end > zero:
        return
    off = sound_start - end if sound_start >= end else sound_end - zero
    begins_s, ends_s = (sound_start - zero) / 1e6, (sound_end - zero) / 1e6
    raise MediaError(
        "clock_jump",
        f"the sound lies at {begins_s:.3f} to {ends_s:.3f} s of a "
        f"picture of {(end - zero) / 1e6:.3f} s: they are on different clocks",
        off / 1e6,
        0.0,
    )
