"""A small build on this machine, of talking faces made here, to learn what a video takes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from pipeline.build.job import build
from pipeline.config.build_config import BuildConfig
from pipeline.demo.portraits import load_portraits, render
from pipeline.demo.programme import fit_sound, steady, talk, write_media
from pipeline.estimate.measured import VideoCost, video_costs

SCENE_S = 8.0
FACE_SHARES = (0.3, 0.6, 0.9)
"""Height of the portrait in the picture, one scene each."""
FPS = Fraction(30)


def calibrate(height_px: int, config: BuildConfig) -> list[VideoCost]:
    """What 16:9 scenes of one and of two talking faces at `height_px` take here."""
    with tempfile.TemporaryDirectory(prefix="yld-estimate-") as name:
        folder = Path(name)
        for number, share in enumerate(FACE_SHARES):
            _scene(folder / "in" / f"scene{number}.mp4", height_px, share, number)
        build([str(folder / "in")], folder / "corpus", config)
        return video_costs(folder / "corpus")


def _scene(path: Path, height_px: int, share: float, seed: int) -> None:
    """One face; the second scene has both portraits side by side, of which one talks."""
    path.parent.mkdir(exist_ok=True)
    height = height_px - height_px % 2
    width = round(height * 16 / 9 / 2) * 2
    random = np.random.default_rng([seed, height])
    people = load_portraits()[: 2 if seed == 1 else 1]
    speech = talk(people[0].name, SCENE_S, seed)
    side = min(round(height * share), width // len(people))
    still = cv2.resize(
        random.integers(40, 200, (9, 16, 3), dtype=np.uint8), (width, height)
    )  # colours that change slowly: nothing a detector takes for a face

    def pictures() -> Iterator[np.ndarray]:
        for time in times:
            picture = still.copy()
            for place, person in enumerate(people):
                talks = place == 0
                opening, spread = speech.mouth_at(float(time)) if talks else (0.0, 1.0)
                swing = np.sin(2 * np.pi * (0.2 + 0.05 * place) * float(time))
                sway = (2.0 * swing, 1.5 * swing, 0.7 * swing)
                face = cv2.resize(render(person, opening, spread, sway), (side, side))
                top, left = (height - side) // 2, (2 * place + 1) * width // (2 * len(people))
                picture[top : top + side, left - side // 2 : left - side // 2 + side] = face
            yield picture

    times = steady(FPS, SCENE_S)
    write_media(path, pictures(), times, fit_sound(speech.pcm, SCENE_S))
