"""A copy of a video with another sound: its packets as they are, the sound on the same clock."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from manifests.clock import FRAME_MS, SAMPLE_RATE
from manifests.files import atomic_path
from manifests.media.streams import MediaError, open_media, packets_of, stream_of
from manifests.media.video import open_video
from manifests.numbers import signed_ms
from manifests.plain_words import sentence
from manifests.records import Video

FORMATS = {".mp4": ("mp4", "aac"), ".mov": ("mov", "aac"), ".mkv": ("matroska", "flac")}
"""By a name's end: the container, and a sound that it places exactly. Matroska keeps no note of
what an AAC encoder puts before the sound (64 ms)."""
BLOCK = 1024


class MuxError(ValueError):
    """The copy cannot be made; the message says what can be done instead."""


def check(video: Video, out: Path) -> None:
    """What can be known before any work. Raises MuxError."""
    if out.suffix.lower() not in FORMATS:
        raise MuxError(f"--mux {out}: end its name in one of {', '.join(FORMATS)}")
    if video.time_source != "packets" or video.jump_frames or video.mended_frames:
        raise MuxError(
            "the video's own times are missing or wrong, so that its pictures cannot be copied as "
            "they are; leave --mux out, or encode them anew first (ffmpeg -i VIDEO NEW.mp4)"
        )


def mux(video: Video, path: Path, sound: np.ndarray, out: Path) -> None:
    """Write `out`: pictures of `path`, whose record is `video`, and sound int16 [N] that begins
    with the first of them. It is read again before it gets its name.

    Raises MuxError where the container does not take the pictures or places them otherwise.
    """
    check(video, out)
    container, codec = FORMATS[out.suffix.lower()]
    with atomic_path(out) as temporary:
        try:
            stamps = _stamps(path, video)
            with (
                open_media(path) as source,
                av.open(str(temporary), "w", format=container) as made,
            ):
                _copy(source, made, video, stamps, sound, codec)
            again = open_video(temporary)
        except (av.FFmpegError, MediaError, ValueError) as error:
            others = ", ".join(s for s in FORMATS if s != out.suffix.lower())
            raise MuxError(
                f"{out.name}: {container} does not take these pictures ({video.video_codec}: "
                f"{sentence(error)}); end its name in one of {others}"
            ) from None
        off_ms = (again.audio_start_us - again.video_start_us) / 1000
        if abs(off_ms) >= FRAME_MS or abs(again.num_frames - video.num_frames) > 1:
            raise MuxError(
                f"{out.name}: the copy begins {signed_ms(off_ms)} off and lasts {again.num_frames} "
                f"frames of {video.num_frames}; encode the video anew first "
                "(ffmpeg -i VIDEO NEW.mp4)"
            )


def _stamps(path: Path, video: Video) -> list[tuple[int, int]]:
    """Presentation and decoding time of each packet of the pictures, in their time base."""
    with open_media(path) as source:
        pictures = stream_of(source, video.video_stream)
        pairs = [(p.pts, p.dts) for p in packets_of(source, pictures) if p.size]
    shown = [pts for pts, _ in pairs if pts is not None]
    if len(shown) < len(pairs):
        raise MuxError("a picture has no presentation time; encode the video anew first")
    own = [dts for _, dts in pairs if dts is not None]
    if len(own) < len(pairs) or any(b <= a for a, b in zip(own, own[1:], strict=False)):
        own = decoding_times(shown)
    return list(zip(shown, own, strict=True))


def decoding_times(shown: list[int]) -> list[int]:
    """Rising times at which pictures in coded order can be decoded, each no later than it is
    shown: the shown times in order, late by as many pictures as the coder held back.

    Matroska stores none, and its reader does not know the first.
    """
    order = sorted(shown)
    step = max(1, (order[-1] - order[0]) // max(1, len(order) - 1))
    place = {time: i for i, time in enumerate(order)}
    held = max(i - place[time] for i, time in enumerate(shown))
    return [order[0] - (held - i) * step for i in range(held)] + order[: len(order) - held]


def _copy(
    source: av.container.InputContainer,
    made: av.container.OutputContainer,
    video: Video,
    stamps: list[tuple[int, int]],
    sound: np.ndarray,
    codec: str,
) -> None:
    pictures = stream_of(source, video.video_stream)
    copied = made.add_stream_from_template(pictures, opaque=True)
    track = made.add_stream(codec, rate=SAMPLE_RATE)
    assert isinstance(track, av.AudioStream)
    track.layout = "mono"
    base = pictures.time_base
    zero = round(Fraction(video.zero_us, 1_000_000) / base)
    told = 0
    packets = (p for p in packets_of(source, pictures) if p.size)
    for packet, (pts, dts) in zip(packets, stamps, strict=True):
        packet.pts, packet.dts = pts - zero, dts - zero
        # Sound goes beside the pictures, so that none has to wait for the other.
        upto = min(len(sound), max(0, int(((dts - zero) * base + 1) * SAMPLE_RATE)))
        told = _say(made, track, sound, told, upto)
        packet.stream = copied
        made.mux(packet)
    _say(made, track, sound, told, len(sound))
    made.mux(track.encode(None))


def _say(
    made: av.container.OutputContainer,
    track: av.AudioStream,
    sound: np.ndarray,
    told: int,
    upto: int,
) -> int:
    """Encode whole blocks from `told` on, to the end where that is meant; how far it came."""
    while told + BLOCK <= upto or told < upto == len(sound):
        block = np.ascontiguousarray(sound[None, told : told + BLOCK])
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, told
        frame.time_base = Fraction(1, SAMPLE_RATE)
        made.mux(track.encode(frame))
        told += block.shape[1]
    return told
