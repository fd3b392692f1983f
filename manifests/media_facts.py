"""Streams and timestamps of a media file: everything the clock needs, without decoding it all.

Timestamps are read packet by packet (edit lists are applied by the demuxer; packets it marks
for discarding do not count). Of the picture one frame is decoded, because only it tells rotation
and pixel format, and all of them only where packets leave open when they are shown
(`media_times`); of the sound the first block, which tells where sound really begins after priming,
and where there are several channels stretches of it, to hear whether they cancel (`media_mix`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.sidedata.sidedata import Type as SideDataType

from manifests.clock import FRAME_RATE, Clock
from manifests.media_mix import PhaseWatch
from manifests.media_order import Order, average_fps, order_of
from manifests.media_streams import Chosen, MediaError, choose, open_media, stream_of
from manifests.media_times import Scan, scan, to_us, typical_us
from manifests.orientation import orientation_of
from manifests.truncation import promised_bytes

__all__ = ["Facts", "MediaError", "read_facts", "stream_of", "why_unreadable"]

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
VFR_TOLERANCE_US = 2000
REORDERED = 16
"""Pictures whose presentation times may be missing where a file was cut."""


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
        raise MediaError(error.reason, f"{Path(path).name}: {error}", error.measured,
                         error.threshold) from None
    except (av.FFmpegError, OSError) as error:
        whole = promised_bytes(path)
        if whole is not None:
            found = Path(path).stat().st_size
            raise MediaError("truncated", f"{Path(path).name}: it ends after {found} of {whole} "
                             "bytes and cannot be read", found, whole) from None
        why = why_unreadable(path, error)
        raise MediaError("unreadable", f"{Path(path).name}: {why}") from None


def _read(path: str | Path, rate: Fraction) -> Facts:
    chosen = choose(path)
    with open_media(path) as container:
        video, audio = stream_of(container, chosen.video), stream_of(container, chosen.audio)
        streams = _stream_facts(container, video, audio)
        promised_us = _promised_us(container, video)
        tag = video.codec_context.codec_tag
        watch, hear = _listener(audio)
        found = scan(container, video, audio, hear)
    if found.is_encrypted:
        raise MediaError("encrypted", "picture or sound is encrypted")
    order = order_of(path, chosen.video, streams["container"], streams["video_codec"], tag,
                     streams["nominal"], found)
    return _facts(path, chosen, streams, order, found, watch, promised_us, rate)


def why_unreadable(path: str | Path, error: OSError) -> str:
    """Why a file does not open, in words."""
    if isinstance(error, FileNotFoundError):
        return "the file is not there"
    if Path(path).is_file() and Path(path).stat().st_size == 0:
        return "an empty file"
    if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
        return "not a media file, or damaged"
    return error.strerror or str(error)


def _stream_facts(container, video, audio) -> dict:
    """What must be read while the file is open: its streams do not outlive it."""
    return {
        "container": container.format.name, "video_codec": video.codec_context.name,
        "audio_codec": audio.codec_context.name, "video_stream": video.index,
        "audio_stream": audio.index, "num_audio_streams": len(container.streams.audio),
        "audio_language": audio.language, "nominal": video.average_rate,
        "sar": video.codec_context.sample_aspect_ratio or video.sample_aspect_ratio,
    }


def _promised_us(container, video) -> int | None:
    """How long the header says the picture is; None where only the data tells."""
    names = container.format.name.split(",")
    if "mov" in names and video.duration:
        return to_us(video.duration, video.time_base)
    if {"mov", "matroska", "avi", "asf", "flv"}.intersection(names):
        return container.duration
    return None


def _listener(audio) -> tuple[PhaseWatch | None, Callable[[int, av.Packet], None] | None]:
    """What hears whether channels cancel; none for one channel."""
    if audio.codec_context.layout.nb_channels < 2:
        return None, None
    watch, fresh = PhaseWatch(), 0

    def hear(number: int, packet: av.Packet) -> None:
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


def _facts(path, chosen: Chosen, streams: dict, order: Order, found: Scan,
           watch: PhaseWatch | None, promised_us: int | None, rate: Fraction) -> Facts:
    first, sound, pts = chosen.picture, chosen.sound, order.times_us
    by_packets = order.source == "packets" and first.pts is not None
    zero = to_us(first.pts, first.time_base) if by_packets else pts[0]
    pts = [p for p in pts if p >= zero] or [zero]
    whole_bytes = promised_bytes(path)
    if whole_bytes is not None:
        pts = _before_the_cut(pts)
    steps = sorted(b - a for a, b in zip(pts, pts[1:], strict=False))
    last = order.last_duration_us
    typical = steps[len(steps) // 2] if steps else (last or 40_000)
    end = pts[-1] + (last if last and last < 4 * typical else typical)
    sound_start = to_us(sound.pts, sound.time_base) if sound.pts is not None else zero
    _must_meet(zero, end, sound_start, found, order)
    nominal, sar = streams.pop("nominal"), streams.pop("sar")
    sar = Fraction(sar) if sar and sar > 0 else Fraction(1)
    mirrored, rotation = orientation_of(_display_matrix(first))
    width, height = round(first.width * sar), first.height
    if rotation in (90, 270):
        width, height = height, width
    transfer = int(getattr(first, "color_trc", 0) or 0)
    even = steps[:len(steps) - len(order.repairs.frames)]  # the seams of parts are no rate
    uneven = even and even[-1] - even[0] > VFR_TOLERANCE_US
    channel = watch.channel() if watch is not None else None
    notes = list(order.notes)
    if whole_bytes is not None:
        notes.append(_cut_note(path, whole_bytes, end - zero, promised_us))
    if channel is not None:
        notes.append(f"audio_mix: the channels cancel in {watch.cancelled_share():.0%} of the "
                     f"sound; channel {channel} alone is heard")
    repairs = order.repairs
    return Facts(
        **streams, width_px=width, height_px=height,
        rotation_deg=rotation, sample_aspect_ratio=f"{sar.numerator}:{sar.denominator}",
        pixel_format=first.format.name, is_hdr=transfer in HDR_TRANSFERS,
        source_fps=order.source_fps or average_fps(pts, nominal),
        is_vfr=bool(uneven), zero_us=zero, video_start_us=0, audio_start_us=sound_start - zero,
        container_lag_ms=(sound_start - zero) / 1000, duration_us=end - zero,
        num_frames=Clock(zero, rate).num_frames(end), frame_rate=str(rate),
        num_decode_errors=found.num_errors, is_mirrored=mirrored, time_source=order.source,
        jump_frames=list(repairs.frames), jump_packets=list(repairs.packets),
        jump_shifts_us=list(repairs.shifts_us), mended_frames=list(repairs.mended),
        mended_times_us=list(repairs.mended_us), audio_channel=channel,
        is_truncated=whole_bytes is not None,
        promised_duration_us=promised_us if whole_bytes is not None else None, notes=notes,
    )


def _display_matrix(frame: av.VideoFrame) -> bytes | None:
    data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    return None if data is None else bytes(data)


def _before_the_cut(pts: list[int]) -> list[int]:
    """Up to the first picture that is missing: where a file ends in the middle of reordered
    pictures the last ones have gaps, which are no variable rate."""
    steps = [b - a for a, b in zip(pts, pts[1:], strict=False)]
    typical = typical_us(steps)
    for index in range(max(0, len(steps) - REORDERED), len(steps)):
        if 2 * steps[index] > 3 * typical:
            return pts[:index + 1]
    return pts


def _cut_note(path: str | Path, whole_bytes: int, length_us: int, promised_us: int | None) -> str:
    share = "" if not promised_us else f", {length_us / 1e6:.2f} of {promised_us / 1e6:.2f} s"
    found = Path(path).stat().st_size
    return f"truncated: the file ends after {found} of {whole_bytes} bytes{share}"


def _must_meet(zero: int, end: int, sound_start: int, found: Scan, order: Order) -> None:
    """Sound that is wholly elsewhere than the picture is on another clock. Raises MediaError."""
    times = found.audio.times_us()
    if not times:
        return
    shift = order.repairs.shifts_us[-1] if order.repairs.shifts_us else 0
    sound_end = max(times) + shift
    if sound_start < end and sound_end >= zero:
        return
    off = sound_start - end if sound_start >= end else sound_end - zero
    begins_s, ends_s = (sound_start - zero) / 1e6, (sound_end - zero) / 1e6
    raise MediaError("clock_jump", f"the sound lies at {begins_s:.3f} to {ends_s:.3f} s of a "
                     f"picture of {(end - zero) / 1e6:.3f} s: they are on different clocks",
                     off / 1e6, 0.0)
