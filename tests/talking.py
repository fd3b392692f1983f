"""Talking faces as test input: the demo's people and voices, in short files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import draw_talk, steady
from pipeline.demo.voice import speak

PITCHES_HZ = (200, 120, 210)


def talking_files(folder: Path, seconds: float) -> Path:
    """Three files of `seconds` at 25 fps, the first and the last of one person, 80 ms late."""
    random = np.random.default_rng(5)
    for i, (person, pitch) in enumerate(zip(load_portraits() * 2, PITCHES_HZ, strict=False)):
        draw_talk(
            folder / f"talk{i}.mp4",
            [(person, speak(seconds, pitch, 1.0, i), seconds)],
            steady(Fraction(25), seconds),
            0.08,
            random,
        )
    return folder
