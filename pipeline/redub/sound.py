"""The new sound: what the model hears of it, and what goes beside the pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from evaluation.audio import read_sound
from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from manifests.media.facts import why_unreadable
from manifests.media.sound import read_audio, wide_rate
from manifests.media.streams import audios_by_rank, open_media, stream_of
from manifests.media.video import open_video
from manifests.walk import is_media

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Those that AAC and players have; sound of another one is kept at 48 kHz."""
OTHER_RATE = 48_000


@dataclass(frozen=True)
class NewSound:
    """One sound twice, both from its first sample on."""

    heard: np.ndarray
    """float32 [N], 16 kHz, mono."""
    kept: np.ndarray
    """int16 [C, M], one or two channels."""
    rate: int
    """Of `kept`."""

    @property
    def seconds(self) -> float:
        return len(self.heard) / SAMPLE_RATE

    def lasting(self, end_us: int) -> NewSound:
        """Cut to a length, or silent up to it."""
        wanted = round(end_us * self.rate / 1_000_000)
        short = max(0, wanted - self.kept.shape[1])
        return replace(self, kept=np.pad(self.kept[:, :wanted], ((0, 0), (0, short))))


def read_new(path: Path) -> NewSound:
    """Of a file of sound, or of a video (from its first picture on). Raises OSError or ValueError
    (MediaError is one) for a file that cannot be read, or has no sound."""
    heard = read_sound(path)
    if len(heard) < SAMPLES_PER_FRAME:
        length_ms = 1000 * len(heard) / SAMPLE_RATE
        raise ValueError(
            f"{path}: {length_ms:.0f} ms of sound are shorter than a picture (40 ms); give more"
        )
    if is_media(path):
        video = open_video(path)
        rate = wide_rate(video, path)
        rate = rate if rate in RATES else OTHER_RATE
        return NewSound(heard, read_audio(video, path, rate=rate)[None], rate)
    try:
        kept, rate = _decoded(path)
    except av.FFmpegError as error:
        raise ValueError(f"{path}: {why_unreadable(path, error)}") from None
    return NewSound(heard, kept, rate)


def _decoded(path: Path) -> tuple[np.ndarray, int]:
    """Every sample of the best sound stream, int16 [C, M], and their rate."""
    with open_media(path) as container:
        stream = stream_of(container, min(audios_by_rank(container)))
        rate = stream.rate if stream.rate in RATES else OTHER_RATE
        layout = "mono" if stream.channels == 1 else "stereo"
        resampler = av.AudioResampler("s16p", layout, rate)
        blocks = [
            part.to_ndarray()
            for frame in container.decode(stream)
            for part in resampler.resample(_untimed(frame))
        ]
        blocks += [part.to_ndarray() for part in resampler.resample(None)]
    channels = 1 if layout == "mono" else 2
    return np.concatenate(blocks, 1) if blocks else np.zeros((channels, 0), np.int16), rate


def _untimed(frame: av.AudioFrame) -> av.AudioFrame:
    """Laid end to end, as the metrics read it: stamps are no matter."""
    frame.pts = None
    return frame
