"""The campaign's inputs: talking clips drawn here, as short as a build will take."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import draw_talk, steady
from pipeline.demo.voice import speak


def talks(folder: Path, seconds: float, count: int) -> list[Path]:
    """`count` files of one talking face each at 25 fps."""
    folder.mkdir(parents=True, exist_ok=True)
    random, people, made = np.random.default_rng(11), load_portraits(), []
    for i in range(count):
        person, pitch = people[i % len(people)], (200, 120, 160)[i % 3]
        made.append(folder / f"talk{i}.mp4")
        draw_talk(
            made[-1],
            [(person, speak(seconds, pitch, 1.0, i), seconds)],
            steady(Fraction(25), seconds),
            0.08,
            random,
        )
    return made
