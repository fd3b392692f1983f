"""SLTS's settings and presets; `paper` and `tiny` are the same classes at another width.

Sections are Niu and Mak's (2023); "inferred" says why where they are silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from manifests.records import col
from training.data.views import View
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.models.slts.objective import LossWeights
from training.models.slts.shape import SltsShape, tiny


@dataclass(frozen=True)
class SltsView:
    """What of a clip is seen and heard."""

    crop: str = col(
        "of manifests/crops.py; 4.1.1: S3FD's box, whose like is the face", default="face"
    )
    num_frames: int = col("longest window (4.4: 3 s)", "frame", default=75, at_least=24)
    pairing: Literal["raw", "corrected"] = col(
        "raw: the recorded lags are this model's subject (4.1.2)", default="raw"
    )
    mirror: bool = col("half of the clips mirrored; inferred, the paper states none", default=False)
    brightness: float = col(
        "up to so much lighter or darker", default=0.0, at_least=0.0, at_most=0.9
    )
    plant_columns: int = col(
        "shift each clip's picture by up to so many columns of 10 ms, to see whether the DSM finds "
        "it; 0: never",
        "column",
        default=0,
        at_least=0,
    )
    redraw_plants: bool = col("another plant at each visit; false: one a clip", default=False)

    def view(self, shape: SltsShape) -> View:
        """As the loader takes it."""
        return View(
            self.crop,
            shape.picture_px,
            shape.picture_channels == 1,
            "slts",
            self.num_frames,
            waveform=True,
            pairing=self.pairing,
        )


@dataclass(frozen=True)
class SltsConfig:
    """All settings of a training of SLTS."""

    shape: SltsShape = field(default_factory=SltsShape)
    view: SltsView = field(default_factory=SltsView)
    loss: LossWeights = field(default_factory=LossWeights)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)
    discriminators: bool = col("MRSD and MPWD against the vocoder (5.4, `w/ dis`)", default=False)
    discriminator_width: float = col("factor on their channels", default=1.0, above=0.0)
    vocoder_clips: int | None = col(
        "clips of each part whose sound is trained; all if null (3.2), 0 for none",
        default=None,
        at_least=0,
    )
    by_frontend: bool = col(
        "judge by a-STOI of the sound (5); false: by the aligned mel loss, which needs no vocoder",
        default=True,
    )


def paper() -> SltsConfig:
    """Niu and Mak 4.4 and 5: Adam, 1k steps of warm-up to 5e-4, cosine to 0 at 50k, 32 clips,
    judged by a-STOI each 1k steps (GRID, TCD-TIMIT; 5k for Lip2Wav, whose conformer is M)."""
    return SltsConfig(
        recipe=Recipe(
            steps=50_000,
            batch=32,
            learning_rate=5e-4,
            warmup_steps=1000,
            schedule="cosine",
            validate_every_steps=1000,
            save_every_steps=1000,
            log_every_steps=10,
        )
    )


def small() -> SltsConfig:
    """For two cores: a quarter of the width, grey mouths of 32 px, windows of 64 frames, a vocoder
    trained on four clips of each sixteen. Recipe: `shared` trial of the addenda (Adam 1e-3, 50
    steps of warm-up, norm clipped at 5, mirrored), averaged weights."""
    return SltsConfig(
        shape=tiny(),
        view=SltsView(crop="lip", num_frames=64, mirror=True, brightness=0.2),
        discriminator_width=0.25,
        vocoder_clips=4,
        recipe=Recipe(
            steps=400,
            batch=16,
            learning_rate=1e-3,
            warmup_steps=50,
            schedule="cosine",
            clip_norm=5.0,
            average=0.95,
            validate_every_steps=200,
            save_every_steps=50,
        ),
    )


def without_asm(config: SltsConfig) -> SltsConfig:
    """The row `w/o ASM` of table 2."""
    return replace(config, shape=replace(config.shape, asm=False))


PRESETS = {"paper": paper, "tiny": small}
