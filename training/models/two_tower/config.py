"""The two-tower model's settings and presets; `paper` and `tiny` are the same classes.

Sections are those of Ephrat et al. (2017); "inferred" says why where they are silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from manifests.records import col
from training.data.by_eyes import ByEyes
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.models.two_tower.shape import TwoTowerShape, tiny


@dataclass(frozen=True)
class TwoTowerView:
    """What of a clip is seen and heard."""

    registration: Literal["clip", "canonical"] = col(
        "clip: each frame by the eyes to the central one of its nine (3.1); canonical: the "
        "corpus's own registration, which is faster",
        default="clip",
    )
    num_frames: int = col(
        "T, frames that the post-net sees at once; inferred: .64 s, 4.2 gives no number",
        "frame",
        default=16,
        at_least=1,
    )
    frames_per_clip: int = col(
        "frames of a row's T that the towers learn from while they are trained; 5: samples are "
        "frames, 16 a step",
        "frame",
        default=1,
        at_least=1,
    )
    pairing: Literal["raw", "corrected"] = col(
        "corrected: measured lags are taken out of the sound", default="corrected"
    )
    cache: str | None = col(
        "folder for registered clips and their flow, 8 MB a clip of 3 s at 160 x 128; none if null",
        default=None,
    )

    def __post_init__(self) -> None:
        if self.frames_per_clip > self.num_frames:
            raise ValueError("frames_per_clip are some of num_frames, not more")

    def by_eyes(self, shape: TwoTowerShape) -> ByEyes:
        """As the loader takes it: T frames and those around the outer ones."""
        return ByEyes(
            shape.height_px,
            self.num_frames + 2 * shape.margin,
            self.registration,
            self.pairing,
            shape.flow,
            cache=None if self.cache is None else Path(self.cache),
        )


@dataclass(frozen=True)
class TwoTowerConfig:
    """All settings of a training."""

    shape: TwoTowerShape = field(default_factory=TwoTowerShape)
    view: TwoTowerView = field(default_factory=TwoTowerView)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)
    tower_steps: int = col(
        "first steps, of towers and decoder by the mel alone; after them the convolutions are "
        "frozen, and decoder and post-net are trained (4.2)",
        "step",
        default=500,
        at_least=0,
    )
    halvings: int = col(
        'times that the rate is halved in each of the two parts, evenly (5: "reduced several '
        'times"); inferred: the second part begins at the full rate, for its post-net is new',
        default=4,
        at_least=0,
    )

    @property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """First and last step (exclusive) of the two parts, or of the one there is."""
        steps, first = self.recipe.steps, self.tower_steps
        if not self.shape.post_net or first >= steps:
            return ((0, steps),)
        return ((0, first), (first, steps)) if first else ((0, steps),)


def paper() -> TwoTowerConfig:
    """Section 5: Adam, 1e-3 "reduced several times", 16 samples a step, about 100 epochs: of 800
    videos of 67 frames 335,000 steps. Inferred: a fifth as many steps for the post-net, which sees
    16 frames where the towers see one."""
    return TwoTowerConfig(
        tower_steps=335_000,
        recipe=Recipe(
            steps=400_000,
            batch=16,
            learning_rate=1e-3,
            validate_every_steps=3350,
            save_every_steps=1000,
            log_every_steps=50,
        ),
    )


def small() -> TwoTowerConfig:
    """For two cores: a quarter of the width, faces of 80 x 64, four frames of each of 16 clips a
    step."""
    return TwoTowerConfig(
        shape=tiny(),
        view=TwoTowerView(frames_per_clip=4),
        tower_steps=500,
        recipe=Recipe(
            steps=950,
            batch=16,
            learning_rate=1e-3,
            warmup_steps=20,
            clip_norm=5.0,
            validate_every_steps=125,
            save_every_steps=100,
        ),
    )


PRESETS = {"paper": paper, "tiny": small}
