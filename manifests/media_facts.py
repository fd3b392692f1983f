"""Streams and timestamps of a media file: everything the clock needs, without decoding it all.

Timestamps are read packet by packet (edit lists are applied by the demuxer; packets it marks
for discarding do not count). Two frames are decoded: the first of each stream, because only
they tell rotation, pixel format and where sound really begins after priming.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.stream import Disposition

from manifests.clock import FRAME_RATE, Clock

COVER_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff"})
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
OTHER_SOUND = frozenset({"dub", "comment", "karaoke", "hearing_impaired", "visual_impaired",
                         "clean_effects", "descriptions"})
"""Marks of a track that is not what was said before the camera."""
VFR_TOLERANCE_US = 2000


class MediaError(ValueError):
    """A file that cannot be used. `reason` is one word for the rejects table."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


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


def is_cover(stream: av.video.stream.VideoStream) -> bool:
    """A still picture attached to the file (album art) is no video."""
    return "attached_pic" in marks_of(stream) or stream.codec_context.name in COVER_CODECS


def marks_of(stream: av.stream.Stream) -> set[str]:
    """Names of the stream's disposition flags (a flag's own text is a number)."""
    return {flag.name for flag in Disposition if flag & stream.disposition}


def choose_video(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The default moving-picture stream, else the largest. Raises MediaError."""
    streams = [s for s in container.streams.video if not is_cover(s)]
    if not streams:  # a file that is motion JPEG all through is video after all
        streams = [s for s in container.streams.video if (s.frames or 0) > 1
                   and "attached_pic" not in marks_of(s)]
    if not streams:
        raise MediaError("no_video", "no video stream")
    return max(streams, key=lambda s: ("default" in marks_of(s),
                                       s.codec_context.width * s.codec_context.height, -s.index))


def choose_audio(container: av.container.InputContainer) -> av.audio.stream.AudioStream:
    """The original-language track if marked, else the default one, else the first.

    Tracks marked as dubbed, commentary or for the impaired are last. Raises MediaError.
    """
    if not container.streams.audio:
        raise MediaError("no_audio", "no audio stream")

    def rank(stream: av.audio.stream.AudioStream) -> tuple[bool, bool, bool, int]:
        marks = marks_of(stream)
        other = marks & OTHER_SOUND
        return (not other, "original" in marks, "default" in marks, -stream.index)

    return max(container.streams.audio, key=rank)


def read_facts(path: str | Path, rate: Fraction = FRAME_RATE) -> Facts:
    """Facts of the file at `path`. Raises MediaError (no_video, no_audio, unreadable)."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            video, audio = choose_video(container), choose_audio(container)
            streams = _stream_facts(container, video, audio)
            times = _packet_times(container, video)
        with av.open(str(path), metadata_errors="replace") as container:
            first = _first_frame(container, streams["video_stream"])
        with av.open(str(path), metadata_errors="replace") as container:
            sound = _first_frame(container, streams["audio_stream"])
    except (av.FFmpegError, OSError) as error:
        why = why_unreadable(path, error)
        raise MediaError("unreadable", f"{Path(path).name}: {why}") from None
    if first is None:
        raise MediaError("unreadable", f"{Path(path).name}: no frame of the video decodes")
    if sound is None:
        raise MediaError("no_audio", f"{Path(path).name}: no sound in the audio stream decodes")
    return _facts(streams, times, first, sound, rate)


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
    return (f"damaged, or of a kind that FFmpeg does not read (it says: {said}); fetch it again, "
            "or repair it with `ffmpeg -i IN -c copy OUT`")


def _stream_facts(container, video, audio) -> dict:
    """What must be read while the file is open: its streams do not outlive it."""
    return {
        "container": container.format.name, "video_codec": video.codec_context.name,
        "audio_codec": audio.codec_context.name, "video_stream": video.index,
        "audio_stream": audio.index, "num_audio_streams": len(container.streams.audio),
        "audio_language": audio.language, "nominal": video.average_rate,
        "sar": video.codec_context.sample_aspect_ratio or video.sample_aspect_ratio,
    }


def _facts(streams, times, first, sound, rate) -> Facts:
    pts, last_duration, errors = times
    zero = _us(first.pts, first.time_base) if first.pts is not None else pts[0]
    pts = [p for p in pts if p >= zero] or [zero]
    steps = sorted(b - a for a, b in zip(pts, pts[1:], strict=False))
    typical = steps[len(steps) // 2] if steps else (last_duration or 40_000)
    end = pts[-1] + (last_duration if last_duration and last_duration < 4 * typical else typical)
    sound_start = _us(sound.pts, sound.time_base) if sound.pts is not None else zero
    streams = dict(streams)
    nominal, sar = streams.pop("nominal"), streams.pop("sar")
    sar = Fraction(sar) if sar and sar > 0 else Fraction(1)
    rotation = -int(first.rotation) % 360
    width, height = round(first.width * sar), first.height
    if rotation in (90, 270):
        width, height = height, width
    transfer = int(getattr(first, "color_trc", 0) or 0)
    uneven = steps and steps[-1] - steps[0] > VFR_TOLERANCE_US
    fps = Fraction((len(pts) - 1) * 1_000_000, pts[-1] - pts[0]) if len(pts) > 1 else None
    if fps is not None and nominal and abs(fps / nominal - 1) < Fraction(1, 1000):
        fps = Fraction(nominal)
    return Facts(
        **streams, width_px=width, height_px=height,
        rotation_deg=rotation, sample_aspect_ratio=f"{sar.numerator}:{sar.denominator}",
        pixel_format=first.format.name, is_hdr=transfer in HDR_TRANSFERS,
        source_fps=None if fps is None else str(fps.limit_denominator(1001)),
        is_vfr=bool(uneven), zero_us=zero, video_start_us=0, audio_start_us=sound_start - zero,
        container_lag_ms=(sound_start - zero) / 1000, duration_us=end - zero,
        num_frames=Clock(zero, rate).num_frames(end), frame_rate=str(rate),
        num_decode_errors=errors,
    )


def _packet_times(container, video) -> tuple[list[int], int | None, int]:
    """Sorted presentation times of the video's packets, the last one's duration, errors."""
    pts, errors, last = [], 0, None
    packets = container.demux(video)
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
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.size == 0 or packet.is_discard:
            continue
        errors += bool(packet.is_corrupt)
        time = _us(stamp, packet.time_base)
        if not pts or time >= max(pts[-1], last[0]):
            last = (time, _us(packet.duration, packet.time_base) if packet.duration else None)
        pts.append(time)
    if not pts:
        raise MediaError("unreadable", "the video stream holds no packets")
    return sorted(pts), last[1], errors


def stream_of(container, index: int):
    """The stream with the file's own `index`. Raises MediaError if it is not there."""
    for stream in container.streams:
        if stream.index == index:
            return stream
    raise MediaError("unreadable", f"stream {index} is gone; the file changed")


def _first_frame(container, index: int):
    stream = stream_of(container, index)
    errors = 0
    for packet in container.demux(stream):
        try:
            for frame in packet.decode():
                return frame
        except av.FFmpegError:
            errors += 1
            if errors > 200:
                break
    return None


def _us(stamp: int, time_base: Fraction) -> int:
    return round(stamp * time_base * 1_000_000)
