"""Vid2Speech's settings and presets, from its published code (arielephrat/vid2speech)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from manifests.records import col
from training.data.views import View
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.layers.sequences import widened


@dataclass(frozen=True)
class Vid2SpeechShape:
    """All that decides which parameters there are."""

    width: float = col("factor on all channels", default=1.0, above=0.0)
    picture_px: int = col("side of the grey face; a multiple of 32", "px", default=128, at_least=32)
    context_frames: int = col("frames of a clip", "frame", default=9, at_least=1)
    dropout: float = col("factor on the code's rates", default=1.0, at_least=0.0, at_most=1.0)
    norms: Literal["channels", "columns"] = col(
        "what the convolutions' batch norms are of; columns: the picture's, as the code's library "
        "has it where nobody says otherwise (inferred; a published file's sizes tell)",
        default="channels",
    )

    def scaled(self, channels: int) -> int:
        return widened(channels, self.width)


@dataclass(frozen=True)
class Vid2SpeechConfig:
    """All settings of a training."""

    shape: Vid2SpeechShape = field(default_factory=Vid2SpeechShape)
    frames_per_clip: int = col(
        "frames in a row that a row teaches with; the code draws frames alone", "frame", default=1
    )
    pairing: Literal["raw", "corrected"] = col(
        "corrected: measured lags are taken out of the sound", default="corrected"
    )
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def view(self) -> View:
        """The whole registered face; the code's box of 292 px on GRID's 720 x 576 is one too."""
        frames = self.frames_per_clip + self.shape.context_frames - 1
        return View("face", self.shape.picture_px, True, "line_spectrum", frames, self.pairing)


def paper() -> Vid2SpeechConfig:
    """Adam, 32 samples; .01 for 60 epochs, then .001 for 10 (800 clips of 67 frames: 1675 steps an
    epoch). The code takes the best weights for the last ten; here the training goes on from the
    last ones."""
    return Vid2SpeechConfig(
        recipe=Recipe(
            steps=117_250,
            batch=32,
            learning_rate=0.01,
            schedule="exponential",
            decay=0.1,
            decay_steps=100_500,
            validate_every_steps=1675,
            save_every_steps=1000,
            log_every_steps=50,
        )
    )


def small() -> Vid2SpeechConfig:
    """For two cores: half the width, faces of 64 px, four frames of each of 16 clips a step."""
    return Vid2SpeechConfig(
        shape=Vid2SpeechShape(width=0.5, picture_px=64),
        frames_per_clip=4,
        recipe=Recipe(
            steps=800,
            batch=16,
            learning_rate=3e-3,
            schedule="cosine",
            validate_every_steps=200,
            save_every_steps=100,
        ),
    )


PRESETS = {"paper": paper, "tiny": small}
