"""The waveform GAN's settings and presets; `paper` and `tiny` are the same classes.

Sections are Vougioukas et al.'s (2019); "inferred" says why where they are silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from manifests.records import col
from training.data.views import View
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.models.waveform_gan.objective import LossWeights
from training.models.waveform_gan.shape import GanShape, tiny


@dataclass(frozen=True)
class GanView:
    """What of a clip is seen and heard."""

    crop: str = col(
        "of manifests/crops.py; 3.1: faces of 128 x 96, of which the lower half is kept",
        default="vougioukas",
    )
    num_frames: int = col(
        "of each example, a second or more; inferred: GRID's clips, 3 s. Shorter clips are left "
        "out",
        "frame",
        default=75,
        at_least=25,
    )
    pairing: Literal["raw", "corrected"] = col(
        "corrected: inferred, the paper takes GRID as it is; a sample that is late by a lag has "
        "another L1 distance altogether",
        default="corrected",
    )
    mirror: bool = col("half of the clips mirrored (3.1)", default=True)

    def view(self, shape: GanShape) -> View:
        """As the loader takes it."""
        return View(
            self.crop,
            shape.picture_px,
            num_frames=self.num_frames,
            pairing=self.pairing,
            waveform=True,
            wide_rate=None if shape.sample_rate == 16_000 else shape.sample_rate,
        )


@dataclass(frozen=True)
class SpeechConfig:
    """The speech encoder of the perceptual loss."""

    source: Literal["own", "published"] = col(
        "own: trained here on the training part, by drawing mouths from sound; published: the "
        "authors' file, by `name`",
        default="own",
    )
    name: str = col(
        "of a registered file (`yld models list`); grid.dat was trained on GRID (2.3)",
        default="grid.dat",
    )
    steps: int = col(
        "own: steps at the beginning that train it, before the generator's begin; inferred",
        "step",
        default=4000,
        at_least=0,
    )
    width: float = col("own: factor on its channels", default=1.0, above=0.0)


@dataclass(frozen=True)
class GanConfig:
    """All settings of a training of the waveform GAN."""

    shape: GanShape = field(default_factory=GanShape)
    view: GanView = field(default_factory=GanView)
    loss: LossWeights = field(default_factory=LossWeights)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)
    critic_updates: int = col("of the critic for each of the generator (2.4)", default=6)
    paired_crop: bool = col(
        "the critic hears the same second of both sounds; false: each its own (inferred: 2.2 says "
        "both are drawn)",
        default=True,
    )


def paper() -> GanConfig:
    """Vougioukas et al. 2.4: Adam at 1e-4, ended when MCD has not fallen for 10 epochs, each of
    450 steps for 3600 clips of four speakers. Betas are WGAN-GP's and 8 clips a step inferred."""
    return GanConfig(
        recipe=Recipe(
            steps=200_000,
            batch=8,
            learning_rate=1e-4,
            beta1=0.5,
            beta2=0.9,
            validate_every_steps=450,
            save_every_steps=450,
            patience=9,
            log_every_steps=10,
        )
    )


def small() -> GanConfig:
    """For two cores: a quarter of the width, 16 kHz, mouths of 32 x 48 px, windows of 1.2 s, ten
    times the rate, and a speech encoder that draws mouths for 100 steps. One critic update instead
    of six, for time, and a spectral loss beside the paper's terms (inferred: with those alone it
    did not come to the training clips' mean mel)."""
    return GanConfig(
        shape=tiny(),
        view=GanView(num_frames=30),
        loss=LossWeights(spectral=20.0),
        speech=SpeechConfig(steps=100, width=0.5),
        critic_updates=1,
        recipe=Recipe(
            steps=2400,
            batch=4,
            learning_rate=1e-3,
            beta1=0.5,
            beta2=0.9,
            validate_every_steps=480,
            save_every_steps=50,
        ),
    )


def without(config: GanConfig, term: str) -> GanConfig:
    """A row of table 3: `l1`, `tv` or `perceptual`; `adversarial` is the row of 4.1."""
    return replace(config, loss=replace(config.loss, **{term: 0.0}))


PRESETS = {"paper": paper, "tiny": small}
