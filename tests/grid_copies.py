"""Real clips of GRID's first speaker, and copies of them as sites make them."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SHARED = Path(os.environ.get("YLD_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def grid_videos(count: int) -> list[Path]:
    """The first so many; the test is skipped where they are not at hand."""
    found = sorted((SHARED / "data" / "grid_s1").glob("*.mpg"))
    if len(found) < count:
        pytest.skip("GRID's first speaker is not at hand (YLD_SHARED)")
    return found[:count]


def sound_of_file(path: Path | io.BytesIO) -> np.ndarray:
    """int16 [N] at 16 kHz, mono."""
    to_mono = av.AudioResampler("s16", "mono", 16000)
    with av.open(path if isinstance(path, io.BytesIO) else str(path), "r") as container:
        frames = [f for one in container.decode(audio=0) for f in to_mono.resample(one)]
    frames += to_mono.resample(None)
    return np.concatenate([f.to_ndarray().reshape(-1) for f in frames])


def coded_again(sound: np.ndarray, codec: str, rate_hz: int, bits: int) -> np.ndarray:
    """int16 at 16 kHz of a sound that a lossy codec has had."""
    packed = io.BytesIO()
    with av.open(packed, "w", format="matroska") as container:
        _put_sound(container, sound, codec, rate_hz, bits)
    packed.seek(0)
    return sound_of_file(packed)


def copied(source: Path, target: Path, *, scale: float, start_s: float, bits: int = 48_000) -> None:
    """Another file of the same recording from `start_s` on: x264 at another size, AAC."""
    with av.open(str(source)) as original, av.open(str(target), "w") as container:
        size = original.streams.video[0]
        video = container.add_stream("libx264", rate=25)
        video.width, video.height = (int(n * scale) // 2 * 2 for n in (size.width, size.height))
        video.pix_fmt, video.bit_rate = "yuv420p", 250_000
        sound = sound_of_file(source)[round(start_s * 16000) :]
        number = 0
        audio = _sound_stream(container, "aac", 44100, bits)
        for frame in original.decode(video=0):
            if frame.time is None or frame.time < start_s - 1e-6:
                continue
            picture = frame.reformat(video.width, video.height, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            number += 1
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        _encode(container, audio, sound)


def _put_sound(container, sound: np.ndarray, codec: str, rate_hz: int, bits: int) -> None:
    _encode(container, _sound_stream(container, codec, rate_hz, bits), sound)


def _sound_stream(container, codec: str, rate_hz: int, bits: int):
    stream = container.add_stream(codec, rate=rate_hz, layout="mono")
    stream.bit_rate = bits
    return stream


def _encode(container, stream, sound: np.ndarray) -> None:
    to_codec = av.AudioResampler(stream.format.name, "mono", stream.rate)
    for start in range(0, len(sound), 1024):
        frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], "s16", "mono")
        frame.sample_rate, frame.pts = 16000, start
        for made in to_codec.resample(frame):
            container.mux(stream.encode(made))
    for made in to_codec.resample(None):
        container.mux(stream.encode(made))
    container.mux(stream.encode(None))
