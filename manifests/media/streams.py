"""Which picture and which sound of a file are read: chosen once, among those that decode.

A stream for which FFmpeg has no decoder (spatial sound of phones, AC-4, a damaged sample
description), that is encrypted, or of which nothing decodes is passed over. If none is left, the
error names the codec, by its four characters where FFmpeg has no name for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import av
from av.stream import Disposition

COVER_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff"})
OTHER_SOUND = frozenset(
    {
        "dub",
        "comment",
        "karaoke",
        "hearing_impaired",
        "visual_impaired",
        "clean_effects",
        "descriptions",
    }
)
"""Marks of a track that is not what was said before the camera."""
ENCRYPTED_TAGS = frozenset({"encv", "enca", "drms", "drmi", "drmv", "drma"})
MAX_ERRORS = 2000
"""Packets of a stream that may fail before its first frame: a recording that begins in the middle
of a group of pictures fails up to its first key frame."""
MAX_CHANNELS = 64
"""What libswresample takes."""

_dump_lock = threading.Lock()
StreamT = TypeVar("StreamT", bound=av.stream.Stream)


Frame = av.VideoFrame | av.AudioFrame


class MediaError(ValueError):
    """A file that cannot be used. `reason` is one word for the rejects table; `measured` and
    `threshold` are what was judged, where it is a number."""

    def __init__(
        self,
        reason: str,
        message: str,
        measured: float | None = None,
        threshold: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason, self.measured, self.threshold = reason, measured, threshold


@dataclass(frozen=True)
class Chosen:
    """Indices of the two streams, and the first decoded frame of each."""

    video: int
    audio: int
    picture: av.VideoFrame
    sound: av.AudioFrame


def open_media(path: str | Path) -> av.container.InputContainer:
    """The file, open for reading. Raises av.FFmpegError, OSError."""
    return av.open(str(path), metadata_errors="replace")


def stream_of(container: av.container.InputContainer, index: int):
    """The stream with the file's own `index`, ready to decode. Raises MediaError if it is gone."""
    for stream in container.streams:
        if stream.index == index and stream.codec_context is not None:
            stream.codec_context.thread_count = 1
            if isinstance(stream, av.AudioStream):
                _settle_layout(stream.codec_context)
            elif isinstance(stream, av.VideoStream):
                stream.thread_type = "NONE"
            return stream
    raise MediaError("unreadable", f"stream {index} is gone; the file changed")


def _settle_layout(context: av.AudioCodecContext) -> None:
    """Replace a layout of named channels (unused or doubled labels of MOV) by their number.

    PyAV copies such a layout without its list of channels and frees the list twice, which ends
    the process. Here it is looked at once, and what is written over is not freed.
    """
    layout = context.layout
    name, count = layout.name, layout.nb_channels
    if "+" in name or not name:
        context.layout = f"{max(1, count)} channels"


def packets_of(
    container: av.container.InputContainer, *streams: StreamT
) -> Iterator[av.Packet[StreamT]]:
    """The packets of some streams, and one for each at the end that drains its decoder.

    A stream that appears while a file is read (FLV, MPEG) makes PyAV stumble after the last of
    them. Raises av.FFmpegError, after which nothing follows.
    """
    try:
        yield from container.demux(*streams)  # type: ignore[misc]  # stubs lose the streams' type
    except IndexError:
        return


def is_cover(stream: av.video.stream.VideoStream) -> bool:
    """A still picture attached to the file (album art) is no video."""
    context = stream.codec_context
    return "attached_pic" in marks_of(stream) or (
        context is not None and context.name in COVER_CODECS
    )


def marks_of(stream: av.stream.Stream) -> set[str]:
    """Names of the stream's disposition flags (a flag's own text is a number)."""
    return {flag.name for flag in Disposition if flag & stream.disposition and flag.name}


def videos_by_rank(container: av.container.InputContainer) -> list[int]:
    """Moving-picture streams with a decoder: the default one first, then by size. Raises
    MediaError if there is none."""
    streams = [s for s in container.streams.video if not is_cover(s)]
    if not streams:  # a file that is motion JPEG all through is video after all
        streams = [
            s
            for s in container.streams.video
            if (s.frames or 0) > 1 and "attached_pic" not in marks_of(s)
        ]
    if not streams:
        raise MediaError("no_video", "no video stream")

    def rank(stream: av.video.stream.VideoStream) -> tuple[bool, int, int]:
        context = stream.codec_context
        return ("default" in marks_of(stream), context.width * context.height, -stream.index)

    able = [s for s in streams if s.codec_context is not None]
    if not able:
        raise none_left(container, "picture", [s.index for s in streams])
    return [s.index for s in sorted(able, key=rank, reverse=True)]


def audios_by_rank(container: av.container.InputContainer) -> list[int]:
    """Sound streams with a decoder: the original language if marked, else the default one, else
    the first. Dubs, commentary and tracks for the impaired are last. Raises MediaError."""
    if not container.streams.audio:
        raise MediaError("no_audio", "no audio stream")

    def rank(stream: av.audio.stream.AudioStream) -> tuple[bool, bool, bool, int]:
        marks = marks_of(stream)
        other = marks & OTHER_SOUND
        return (not other, "original" in marks, "default" in marks, -stream.index)

    able = [s for s in container.streams.audio if s.codec_context is not None]
    if not able:
        raise none_left(container, "sound", [s.index for s in container.streams.audio])
    return [s.index for s in sorted(able, key=rank, reverse=True)]


def choose(path: str | Path) -> Chosen:
    """The picture and the sound to read. Raises MediaError (no_video, no_audio, no_packets of the
    sound, no_decoder, encrypted, too_many_channels, unreadable), av.FFmpegError, OSError."""
    ranks: dict[str, list[int]] = {}
    found: dict[str, tuple[int, Frame]] = {}
    why: dict[int, str] = {}
    while len(found) < 2:
        with open_media(path) as container:
            ranks = ranks or {
                "picture": videos_by_rank(container),
                "sound": audios_by_rank(container),
            }
            wanted = {kind: order[0] for kind, order in ranks.items() if kind not in found}
            frames = _first_frames(container, list(wanted.values()), why)
            for kind, index in wanted.items():
                if index in frames:
                    found[kind] = (index, frames[index])
                elif len(ranks[kind]) == 1:
                    raise none_left(container, kind, _tried(container, kind, why), why)
                else:
                    ranks[kind].pop(0)
    (video, picture), (audio, sound) = found["picture"], found["sound"]
    if not isinstance(picture, av.VideoFrame) or not isinstance(sound, av.AudioFrame):
        raise MediaError("unreadable", "a stream decodes to what is neither picture nor sound")
    return Chosen(video, audio, picture, sound)


def _tried(container, kind: str, why: dict[int, str]) -> list[int]:
    streams = container.streams.video if kind == "picture" else container.streams.audio
    return [s.index for s in streams if s.index in why or s.codec_context is None]


def _first_frames(container, indices: list[int], why: dict[int, str]) -> dict[int, Frame]:
    """The first decoded frame of each stream; `why` tells why a stream has none."""
    streams = [stream_of(container, index) for index in indices]
    waiting, errors = set(indices), dict.fromkeys(indices, 0)
    found: dict[int, Frame] = {}
    for index in indices:
        why[index] = "empty"
    for stream in streams:
        if stream.type == "audio" and stream.codec_context.layout.nb_channels > MAX_CHANNELS:
            why[stream.index] = "too_many_channels"
            waiting.discard(stream.index)
    packets = packets_of(container, *streams)
    while waiting:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            break
        index = packet.stream_index
        if index not in waiting:
            continue
        if packet.has_sidedata("encryption_info"):
            why[index] = "encrypted"
            waiting.discard(index)
            continue
        if packet.size:
            why[index] = "unreadable"
        try:
            frames = packet.decode()
        except av.FFmpegError:
            errors[index] += 1
            if errors[index] > MAX_ERRORS:
                waiting.discard(index)
            continue
        if frames:
            found[index] = frames[0]
            waiting.discard(index)
    return found


def none_left(
    container, kind: str, indices: list[int], why: dict[int, str] | None = None
) -> MediaError:
    """The error for a file none of whose streams of a kind can be read; names their codecs."""
    names, parts, reasons = codec_names(container), [], []
    for index in indices:
        name, tag = names.get(index, ("an unknown codec", ""))
        reason = (why or {}).get(index, "no_decoder")
        if tag in ENCRYPTED_TAGS:
            reason = "encrypted"
        parts.append(f"{name}: {_WORDS[reason]}")
        reasons.append(reason)
    reason = next(
        (r for r in ("encrypted", "too_many_channels", "no_decoder", "unreadable") if r in reasons),
        "unreadable",
    )
    if reasons and set(reasons) == {"empty"}:
        reason = "no_packets" if kind == "sound" else "unreadable"
    return MediaError(reason, f"no {kind} that can be read ({'; '.join(parts)})")


_WORDS = {
    "encrypted": "encrypted",
    "no_decoder": "no decoder",
    "empty": "no packets",
    "unreadable": "nothing of it decodes",
    "too_many_channels": f"more than {MAX_CHANNELS} channels",
}


def codec_names(container) -> dict[int, tuple[str, str]]:
    """For each stream the codec in words and its four characters, also where there is no
    decoder. Only FFmpeg's own description of a file tells those."""
    with _dump_lock:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            text = container.dumps_format()
        finally:
            av.logging.set_level(level)
    names = {}
    for line in text.splitlines():
        match = re.match(r"\s+Stream #0:(\d+)[^:]*: (?:Video|Audio): ([^,]*)", line)
        if match:
            words = match[2].split()
            tag = re.search(r"\((\S+) / 0x", match[2])
            four = tag[1] if tag else ""
            name = words[0] if words and words[0] != "none" else four or "an unknown codec"
            names[int(match[1])] = (name, four)
    return names
