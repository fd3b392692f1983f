"""Lip2AudSpec's settings and presets, from its published code (hassanhub/LipReading); "inferred"
says why where they are ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from manifests.records import col
from training.data.views import View
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.layers.sequences import widened
from training.models.lip2audspec.objective import LossWeights

WINDOW_FRAMES, CONTEXT_FRAMES = 5, 2
"""Of a window (200 ms), and before it, for the differences."""


@dataclass(frozen=True)
class Lip2AudSpecShape:
    """All that decides which parameters there are."""

    width: float = col("factor on the network's channels", default=1.0, above=0.0)
    coder_width: float = col(
        "factor on the autoencoder's channels, but not on the code of 32", default=1.0, above=0.0
    )
    picture_px: int = col("side of the grey face; a multiple of 32", "px", default=128, at_least=32)
    dropout: float = col("factor on the code's rates", default=1.0, at_least=0.0, at_most=1.0)
    noise: float = col("deviation, on the autoencoder's code in training", default=0.05)

    def scaled(self, channels: int) -> int:
        return widened(channels, self.width)


@dataclass(frozen=True)
class Lip2AudSpecConfig:
    """All settings of a training."""

    shape: Lip2AudSpecShape = field(default_factory=Lip2AudSpecShape)
    loss: LossWeights = field(default_factory=LossWeights)
    windows_per_row: int = col(
        "windows in a row that a clip teaches with at a time", "window", default=1, at_least=1
    )
    coder_steps: int = col("at the beginning, that train the autoencoder", "step", default=71_250)
    varied: bool = col("a third of the rows mirrored, a third with noise of .01", default=True)
    pairing: Literal["raw", "corrected"] = col(
        "corrected: measured lags are taken out of the sound", default="corrected"
    )
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def num_frames(self) -> int:
        """Of a row."""
        return self.windows_per_row * WINDOW_FRAMES + CONTEXT_FRAMES

    @property
    def view(self) -> View:
        """The registered face; the code's is the box of a frontal face in the first frame."""
        size = self.shape.picture_px
        return View("face", size, True, "auditory", self.num_frames, self.pairing)


def paper() -> Lip2AudSpecConfig:
    """Adam 1e-4, 32 windows: of 3800 clips of four speakers, 15 windows each, 1781 steps an epoch,
    40 epochs for the autoencoder (whose steps are of 640 columns, there of 128) and 200 for the
    network. There the rate is divided by 5 after 4 epochs that are no better; inferred: each 50."""
    return Lip2AudSpecConfig(
        recipe=Recipe(
            steps=427_500,
            batch=32,
            learning_rate=1e-4,
            schedule="exponential",
            decay=0.2,
            decay_steps=106_875,
            validate_every_steps=1781,
            save_every_steps=1000,
            log_every_steps=50,
        )
    )


def small() -> Lip2AudSpecConfig:
    """For two cores: a quarter of the network's width, faces of 64 px, four windows of each of 8
    clips a step, twenty times the rate, no variation and a quarter of the dropout (inferred: a
    hundred clips are seen few times). The autoencoder keeps its width and has 1000 steps, which
    cost little: of a quarter's width, whose last layer is narrower than the code, and 200 steps,
    a clip came back with an ESTOI of .5."""
    return Lip2AudSpecConfig(
        shape=Lip2AudSpecShape(width=0.25, picture_px=64, dropout=0.25),
        windows_per_row=4,
        coder_steps=1000,
        varied=False,
        recipe=Recipe(
            steps=2400,
            batch=8,
            learning_rate=2e-3,
            validate_every_steps=400,
            save_every_steps=100,
        ),
    )


PRESETS = {"paper": paper, "tiny": small}
