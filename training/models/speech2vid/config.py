"""Speech2Vid's settings and presets; `paper` and `tiny` are the same classes.

Sections are those of Chung, Jamaludin and Zisserman (2017); "inferred" says why where they are
silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from manifests.records import col
from training.data.every_fifth import EveryFifth
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.models.speech2vid.shape import Speech2VidShape


@dataclass(frozen=True)
class Speech2VidConfig:
    """All settings of a training."""

    shape: Speech2VidShape = field(default_factory=Speech2VidShape)
    frames_per_clip: int = col(
        "samples that a clip teaches with at each visit; in the paper samples are frames alone",
        "frame",
        default=1,
        at_least=1,
    )
    reduction: Literal["sum", "mean"] = col(
        "sum: equation 1 over all values of a picture, which the paper's rate is for (inferred); "
        "mean: over them",
        default="mean",
    )
    pairing: Literal["raw", "corrected"] = col(
        "corrected: measured lags are taken out of the sound (section 2)", default="corrected"
    )
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def view(self) -> EveryFifth:
        """What of a clip is seen and heard."""
        return EveryFifth(
            num_stills=self.shape.stills,
            frames_per_clip=self.frames_per_clip,
            pairing=self.pairing,
        )


def paper() -> Speech2VidConfig:
    """3.2: stochastic gradient descent with momentum, 1e-5 all the time, 20 epochs or until
    validation improves no more. Inferred: momentum .9, 64 samples a step, and that a visit of a
    clip is four of its samples; an epoch of the paper's 678,389 samples is then 10,600 steps."""
    return Speech2VidConfig(
        frames_per_clip=4,
        reduction="sum",
        recipe=Recipe(
            steps=212_000,
            batch=16,
            optimizer="sgd",
            learning_rate=1e-5,
            validate_every_steps=10_600,
            patience=2,
            save_every_steps=1000,
            log_every_steps=50,
        ),
    )


def small() -> Speech2VidConfig:
    """For two cores: a quarter of the width, four samples of each of two clips a step, Adam."""
    return Speech2VidConfig(
        shape=Speech2VidShape(width=0.25),
        frames_per_clip=4,
        recipe=Recipe(
            steps=1200,
            batch=2,
            learning_rate=1e-3,
            schedule="cosine",
            warmup_steps=20,
            clip_norm=1.0,
            validate_every_steps=300,
            save_every_steps=100,
        ),
    )


PRESETS = {"paper": paper, "tiny": small}
