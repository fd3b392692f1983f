"""The Griffin-Lim round trip of a file's sound: `metrics/griffin_lim.py`, from file to file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from evaluation.audio import SAMPLE_RATE, read_sound
from evaluation.metrics.griffin_lim import round_trip
from manifests.files import write_atomic
from manifests.media.encode import encode_flac


def write_round_trip(source: str | Path, target: Path) -> Path:
    """The round trip of a file's sound, and where it was written: 16-bit FLAC at `target`, or
    beside it a WAV of floats where the sound goes beyond full scale. Raises OSError, ValueError
    or NoScore."""
    sound = read_sound(source)
    back = round_trip(sound)
    if np.abs(sound).max() <= 1:
        pcm = np.rint(np.clip(back, -1, 1) * 32767).astype(np.int16)
        write_atomic(target, encode_flac(pcm))
        return target
    content = io.BytesIO()
    wavfile.write(content, SAMPLE_RATE, back)
    write_atomic(target.with_suffix(".wav"), content.getvalue())
    return target.with_suffix(".wav")
