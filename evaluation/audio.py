"""Any media file's sound as the metrics want it: float32, 16 kHz, mono."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from evaluation.mixing import Mixer
from evaluation.wav_header import check_length
from manifests.media.encode import decode_video
from manifests.media.facts import MediaError, why_unreadable
from manifests.media.float_sound import frame_of, is_float
from manifests.media.pictures import iter_frames
from manifests.media.sound import read_audio
from manifests.media.streams import audios_by_rank, open_media, stream_of
from manifests.media.video import open_video
from manifests.records import Video
from manifests.walk import is_media

SAMPLE_RATE = 16000


def read_sound(path: str | Path) -> np.ndarray:
    """The whole sound of a file: float32 [N], 16 kHz, mono; full scale is 1.

    Level and finiteness are looked at before any conversion: sound of floats beyond full scale is
    kept as it is and never clipped, and a sample that is no finite number is an error. A file
    with pictures is read on the canonical clock (docs/clock.md), so that its sound begins with
    its first frame; a file of sound alone from its first sample. Raises OSError or ValueError
    for a file that cannot be read.
    """
    path = Path(path)
    if is_media(path):
        video = open_video(path)
        full_scale = 2.0 ** max(0, math.ceil(math.log2(max(1.0, _float_peak(video)))))
        return read_audio(video, full_scale=full_scale).astype(np.float32) * np.float32(
            full_scale / 32768
        )
    return decode_sound(path)


def read_pictures(path: str | Path) -> np.ndarray:
    """All frames on the canonical clock: uint8 [T, H, W, 3], RGB, 25 a second.

    Raises OSError or ValueError for a file that cannot be read or has no pictures.
    """
    path = Path(path)
    if not is_media(path):
        raise ValueError(f"{path.name} has no pictures")
    frames: Sequence[np.ndarray] | np.ndarray
    try:
        frames = [frame for _, frame in iter_frames(open_video(path))]
    except MediaError as error:
        if error.reason != "no_audio":
            raise
        # Generated pictures without sound: there is no second stream to place them against.
        try:
            frames = decode_video(path.read_bytes())
        except av.FFmpegError as error:
            raise ValueError(f"{path}: {why_unreadable(path, error)}") from None
    if not len(frames):
        raise ValueError(f"{path.name} has no frame")
    return np.asarray(frames)


def decode_sound(path: str | Path) -> np.ndarray:
    """Every decoded sample of the first sound stream, end to end, timestamps ignored: what
    command-line converters give, and what published figures were computed on. As `read_sound`."""
    path = Path(path)
    try:
        check_length(path)
        sound, loudest = _decode(path)
        if loudest is not None:  # opposite phases: the mix is silent, a channel is not
            sound, _ = _decode(path, loudest)
    except av.FFmpegError as error:
        raise ValueError(f"{path}: {why_unreadable(path, error)}") from None
    if not np.isfinite(sound).all():
        raise ValueError(f"{path} holds samples that are too large to be sound")
    return sound


def _decode(path: Path, channel: int | None = None) -> tuple[np.ndarray, int | None]:
    """The mix of all channels, or one of them; and the loudest if all cancel each other out."""
    blocks: list[np.ndarray] = []
    mixer, rate = Mixer(path, channel), 0
    resampler: av.AudioResampler | None = None
    with open_media(path) as container:
        if not container.streams.audio:
            raise ValueError(f"{path} has no sound")
        stream = stream_of(container, min(audios_by_rank(container)))
        for frame in container.decode(stream):
            if resampler is None or frame.sample_rate != rate:
                blocks += _drained(resampler)
                resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
                rate = frame.sample_rate
            mono = frame_of(mixer.mono(frame)[None], "mono", frame.sample_rate)
            blocks += [part.to_ndarray()[0] for part in resampler.resample(mono)]
    blocks += _drained(resampler)
    sound = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return sound, mixer.cancelled()


def _drained(resampler: av.AudioResampler | None) -> list[np.ndarray]:
    return [] if resampler is None else [p.to_ndarray()[0] for p in resampler.resample(None)]


def _float_peak(video: Video) -> float:
    """Largest magnitude of the mix of a video's sound if that is of floats, else 0."""
    mixer, peak = Mixer(Path(video.media_path)), 0.0
    with open_media(video.media_path) as container:
        stream = stream_of(container, video.audio_stream)
        packets = container.demux(stream)
        while True:
            try:
                frames = next(packets).decode()
            except (StopIteration, av.error.EOFError):
                return peak
            except av.FFmpegError:
                continue  # damaged: the clock leaves its place silent
            for frame in frames:
                if not is_float(frame):
                    return 0.0
                peak = max(peak, float(np.abs(mixer.mono(frame)).max(initial=0)))
