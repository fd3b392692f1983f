"""Pictures at any times, with sound, as a file that players and `manifests.media` read alike."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from manifests.files import atomic_path
from manifests.media.encode import x264_params
from manifests.media.streams import MediaError
from manifests.media.video import open_video
from manifests.numbers import signed_ms
from manifests.plain_words import sentence
from pipeline.redub.sound import NewSound
from pipeline.redub.source import Source
from pipeline.synthesis.mux import FORMATS, MuxError

TICKS = Fraction(1, 90_000)
"""A time base in which 24, 25, 29.97, 30 and 60 pictures a second are whole."""
MILLISECONDS = Fraction(1, 1000)
"""Matroska's."""
CRF = 14
"""Of H.264: pictures that were not changed should look as they were."""
BLOCK = 1024


def check(out: Path) -> None:
    """What can be known before any work. Raises MuxError."""
    if out.suffix.lower() not in FORMATS:
        raise MuxError(f"--out {out}: end its name in one of {', '.join(FORMATS)}")


def write(out: Path, source: Source, pictures: Iterable[np.ndarray], sound: NewSound) -> None:
    """`pictures` uint8 [H, W, 3] at the times of `source`, and the sound from 0 to its end.

    H.264 (8 bit, BT.709), upright, square pixels; sides that are odd get their last row or column
    twice. The file is opened again before it gets its name. Raises MuxError where it does not hold
    all pictures, at their times.
    """
    container, codec = FORMATS[out.suffix.lower()]
    with atomic_path(out) as temporary:
        try:
            with av.open(str(temporary), "w", format=container) as made:
                _write(made, codec, source, pictures, sound)
            again = open_video(temporary)
        except (av.FFmpegError, MediaError) as error:
            raise MuxError(f"{out.name} could not be written: {sentence(error)}") from None
        _check(again.duration_us, again.audio_start_us - again.video_start_us, source, out)


def _check(duration_us: int, off_us: int, source: Source, out: Path) -> None:
    wanted_us = source.end_us - source.times_us[0]
    period_us = 1e6 / source.rate
    if abs(off_us - -source.times_us[0]) > 40_000 or abs(duration_us - wanted_us) > 2 * period_us:
        raise MuxError(
            f"{out.name}: what was written lasts {duration_us / 1e6:.3f} s of "
            f"{wanted_us / 1e6:.3f} s, its sound {signed_ms(off_us / 1000)} off; please report it"
        )


def _write(
    made: av.container.OutputContainer,
    codec: str,
    source: Source,
    pictures: Iterable[np.ndarray],
    sound: NewSound,
) -> None:
    height, width = source.size
    base = MILLISECONDS if "matroska" in made.format.name else TICKS
    stream = made.add_stream(
        "libx264",
        rate=source.rate.limit_denominator(1001),
        options={"preset": "veryfast", "crf": str(CRF), "bf": "0", "x264-params": x264_params()},
    )
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt, stream.time_base = "yuv420p", base
    context = stream.codec_context
    context.time_base, context.thread_count = base, 1
    context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
    context.color_primaries, context.color_trc = 1, 1
    track = made.add_stream(codec, rate=sound.rate)
    assert isinstance(track, av.AudioStream)
    track.layout = "mono" if len(sound.kept) == 1 else "stereo"
    converter, told = VideoReformatter(), 0
    for time_us, picture in zip(source.times_us, pictures, strict=True):
        frame = _coded(picture, converter)
        frame.pts, frame.time_base = round(Fraction(time_us, 1_000_000) / base), base
        made.mux(stream.encode(frame))
        # Sound goes beside the pictures, so that none has to wait for the other.
        told = _say(made, track, sound, told, int((time_us / 1e6 + 1) * sound.rate))
    made.mux(stream.encode(None))
    _say(made, track, sound, told, sound.kept.shape[1])
    made.mux(track.encode(None))


def _coded(picture: np.ndarray, converter: VideoReformatter) -> av.VideoFrame:
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return converter.reformat(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )


def _say(
    made: av.container.OutputContainer,
    track: av.AudioStream,
    sound: NewSound,
    told: int,
    upto: int,
) -> int:
    """Encode whole blocks from `told` on, to the end where that is meant; how far it came."""
    length = sound.kept.shape[1]
    upto = min(upto, length)
    while told + BLOCK <= upto or told < upto == length:
        block = np.ascontiguousarray(sound.kept[:, told : told + BLOCK])
        layout = "mono" if len(block) == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(block, format="s16p", layout=layout)
        frame.sample_rate, frame.pts = sound.rate, told
        frame.time_base = Fraction(1, sound.rate)
        made.mux(track.encode(frame))
        told += block.shape[1]
    return told
