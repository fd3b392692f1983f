"""VCA-GAN's settings and presets, from its published code
(ms-dot-k/Visual-Context-Attentional-GAN); "inferred" says why where they are ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from manifests.records import col
from training.data.views import View
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.layers.sequences import widened
from training.models.vca_gan.objective import LossWeights

LEAST_FRAMES = 20
"""The discriminators halve 4 columns a frame four times and then see five columns at once."""


@dataclass(frozen=True)
class VcaGanShape:
    """All that decides which parameters there are and what is computed with them."""

    width: float = col("factor on all channels", default=1.0, above=0.0)
    picture_px: int = col("side of the grey mouth (112)", "px", default=112, at_least=32)
    dropout: float = col("of local features and between the GRUs", default=0.3, at_least=0.0)

    def scaled(self, channels: int) -> int:
        return widened(channels, self.width)


@dataclass(frozen=True)
class VcaGanView:
    """What of a clip is seen and heard."""

    crop: str = col(
        "of manifests/crops.py; inferred: the code's 136 px around the mouth are our 96",
        default="lip",
    )
    num_frames: int = col(
        "of a window (40); shorter clips are left out", "frame", default=40, at_least=LEAST_FRAMES
    )
    pairing: Literal["raw", "corrected"] = col(
        "corrected: measured lags are taken out of the sound", default="corrected"
    )
    mirror: bool = col("half of the clips mirrored", default=True)
    erase: bool = col("a square of half the side is grey in each clip", default=True)

    def view(self, shape: VcaGanShape) -> View:
        """As the loader takes it."""
        return View(
            self.crop,
            shape.picture_px,
            True,
            "vca_gan_spectra",
            self.num_frames,
            self.pairing,
            waveform=True,
        )


@dataclass(frozen=True)
class VcaGanConfig:
    """All settings of a training."""

    shape: VcaGanShape = field(default_factory=VcaGanShape)
    view: VcaGanView = field(default_factory=VcaGanView)
    loss: LossWeights = field(default_factory=LossWeights)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)


def paper() -> VcaGanConfig:
    """Adam (amsgrad) 1e-4, decay 1e-5, 88 clips; the 500 epochs of the code's page, each of 40
    steps for 3586 clips of four speakers, before its rate falls; judged every 720 steps. (Niu and
    Mak 4.4 trained it by 70,000 steps of 24.)"""
    return VcaGanConfig(
        recipe=Recipe(
            steps=20_000,
            batch=88,
            learning_rate=1e-4,
            amsgrad=True,
            weight_decay=1e-5,
            validate_every_steps=720,
            save_every_steps=200,
            log_every_steps=10,
        )
    )


def small() -> VcaGanConfig:
    """For two cores: a quarter of the width, mouths of 48 px, windows of 24 frames, four a step,
    ten times the rate; no squares are erased (inferred: a hundred clips are seen few times)."""
    return VcaGanConfig(
        shape=VcaGanShape(width=0.25, picture_px=48, dropout=0.1),
        view=VcaGanView(num_frames=24, erase=False),
        recipe=Recipe(
            steps=750,
            batch=4,
            learning_rate=1e-3,
            schedule="cosine",
            amsgrad=True,
            weight_decay=1e-5,
            validate_every_steps=250,
            save_every_steps=50,
        ),
    )


PRESETS = {"paper": paper, "tiny": small}
