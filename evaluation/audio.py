"""Any media file's sound as the metrics want it: float32, 16 kHz, mono."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import numpy as np

from manifests.media import MediaError, decode_video, iter_frames, read_audio, read_facts
from manifests.media_facts import why_unreadable
from manifests.records import Video
from manifests.walk import is_media

SAMPLE_RATE = 16000


def read_sound(path: str | Path) -> np.ndarray:
    """The whole sound of a file: float32 [N] in [-1, 1], 16 kHz, mono.

    A file with pictures is read on the canonical clock (docs/clock.md), so that its sound begins
    with its first frame; a file of sound alone from its first sample. Raises OSError or
    ValueError for a file that cannot be read.
    """
    path = Path(path)
    if is_media(path):
        return read_audio(_open(path)).astype(np.float32) / 32768
    return decode_sound(path)


def read_pictures(path: str | Path) -> np.ndarray:
    """All frames on the canonical clock: uint8 [T, H, W, 3], RGB, 25 a second.

    Raises OSError or ValueError for a file that cannot be read or has no pictures.
    """
    path = Path(path)
    if not is_media(path):
        raise ValueError(f"{path.name} has no pictures")
    try:
        frames = [frame for _, frame in iter_frames(_open(path))]
    except MediaError as error:
        if error.reason != "no_audio":
            raise
        # Generated pictures without sound: there is no second stream to place them against.
        return decode_video(path.read_bytes())
    if not frames:
        raise ValueError(f"{path.name} has no frame")
    return np.stack(frames)


def _open(path: Path) -> Video:
    return Video(video_id="v", media_path=str(path), sha256="",
                 **dataclasses.asdict(read_facts(path)))


def decode_sound(path: str | Path) -> np.ndarray:
    """Every decoded sample of the first sound stream, end to end, timestamps ignored: what
    command-line converters give, and what published figures were computed on. As `read_sound`."""
    blocks = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError(f"{path} has no sound")
            stream = container.streams.audio[0]
            stream.codec_context.thread_count = 1
            # Mixed as integers: a float mix of two equal channels comes out 3 dB too loud.
            mono = av.AudioResampler("s32", "mono", stream.rate)
            resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
            for frame in container.decode(stream):
                for mixed in mono.resample(frame):
                    blocks += [part.to_ndarray()[0] for part in resampler.resample(mixed)]
            blocks += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except av.FFmpegError as error:
        raise ValueError(f"{path}: {why_unreadable(path, error)}") from None
    return np.concatenate(blocks).astype(np.float32) if blocks else np.zeros(0, np.float32)
