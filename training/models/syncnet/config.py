"""SyncNet's settings and presets; `paper` and `tiny` are the same classes at another width.

"Trainer" is the authors' later code (joonson/syncnet_trainer, 15e5cfc), "2016" Chung and
Zisserman, "Out of time"; "inferred" says why where both are silent. The trainer's identity loss,
which belongs to speaker recognition and has heads of its own, is not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from manifests.records import col
from stages.networks.syncnet import SIDE_PX, WINDOW_FRAMES
from training.data.views import View
from training.harness.data import DataConfig
from training.harness.recipe import Recipe

CLIPS_PER_EPOCH = 100_000
"""Trainer, nTrainPerEpoch."""


@dataclass(frozen=True)
class SyncNetShape:
    """What the towers are made of."""

    width: float = col("factor on all channels", default=1.0, above=0.0)
    picture_px: int = col(
        "side of the pictures (the released network's)", "px", default=SIDE_PX, at_least=51
    )


@dataclass(frozen=True)
class SyncNetView:
    """What of a clip is seen and heard."""

    crop: str = col("of manifests/crops.py, a square one", default="syncnet")
    num_frames: int = col(
        "of a clip (trainer, maxFrames): 4 more than time steps to choose from",
        "frame",
        default=30,
        at_least=WINDOW_FRAMES + 1,
    )
    pairing: Literal["raw", "corrected"] = col(
        "corrected: measured lags are taken out (trainer: VoxCeleb's offsets are, at load); raw: "
        "as the corpus has them",
        default="corrected",
    )
    mirror: bool = col("half of the clips mirrored; the trainer mirrors none", default=False)
    brightness: float = col(
        "up to so much lighter or darker; the trainer: not",
        default=0.0,
        at_least=0.0,
        at_most=0.9,
    )

    def view(self, shape: SyncNetShape) -> View:
        """As the loader takes it."""
        return View(
            self.crop,
            shape.picture_px,
            sound="syncnet",
            num_frames=self.num_frames,
            pairing=self.pairing,
        )


@dataclass(frozen=True)
class SyncNetData(DataConfig):
    """Which clips are learnt from."""

    unmeasured: bool = col(
        "take clips without a measured lag too, as they are: of a corpus that is known to be in "
        "sync",
        default=False,
    )
    max_lag_ms: float | None = col(
        "leave out clips whose measured lag, less what the build took out, is larger; one frame "
        "(trainer: clips whose streams differ by more are dropped); null: none",
        "ms",
        default=40.0,
        at_least=0.0,
    )


@dataclass(frozen=True)
class SyncNetLoss:
    """What is minimised."""

    kind: Literal["multiway", "contrastive"] = col(
        "multiway: for each clip cross entropy over its own time steps (trainer); contrastive: "
        "distances of true and shifted pairs (2016)",
        default="multiway",
    )
    scale: float = col("w of w cos + b, learnt from here (trainer)", default=10.0)
    bias: float = col("b of w cos + b, learnt from here (trainer)", default=-5.0)
    margin: float = col(
        "distance that shifted pairs need not exceed; inferred: the released network's distances "
        "are 5 to 17",
        default=20.0,
        above=0.0,
    )
    near_frames: int = col(
        "sounds so near are no negatives; inferred: data are in sync to a frame",
        "frame",
        default=1,
        at_least=0,
    )


@dataclass(frozen=True)
class SyncNetJudging:
    """How clips that were held out are judged."""

    num_frames: int = col("longest window", "frame", default=75, at_least=WINDOW_FRAMES + 1)
    num_steps: int = col("time steps to choose from for top-1", default=30, at_least=2)
    planted_frames: int = col(
        "each clip's picture is made late by -N to N frames", "frame", default=10, at_least=0
    )
    searched_frames: int = col(
        "lags that are looked for, plus and minus (syncnet_python, vshift)",
        "frame",
        default=15,
        at_least=1,
    )


@dataclass(frozen=True)
class SyncNetConfig:
    """All settings of a training of SyncNet."""

    shape: SyncNetShape = field(default_factory=SyncNetShape)
    view: SyncNetView = field(default_factory=SyncNetView)
    loss: SyncNetLoss = field(default_factory=SyncNetLoss)
    data: SyncNetData = field(default_factory=SyncNetData)
    judging: SyncNetJudging = field(default_factory=SyncNetJudging)
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def min_frames(self) -> int:
        """A clip has a whole window to learn from, and can be judged."""
        return max(self.view.num_frames, self.judging.num_steps + WINDOW_FRAMES - 1)


def paper() -> SyncNetConfig:
    """The trainer's: SGD with momentum .9, rate 1e-3 x .95 each epoch of 100,000 clips, weight
    decay 1e-5, 30 clips of 30 frames, 500 epochs. Judged once an epoch, as there."""
    batch = 30
    epoch = CLIPS_PER_EPOCH // batch
    return SyncNetConfig(
        recipe=Recipe(
            steps=500 * epoch,
            batch=batch,
            optimizer="sgd",
            beta1=0.9,
            learning_rate=1e-3,
            weight_decay=1e-5,
            schedule="exponential",
            decay=0.95,
            decay_steps=epoch,
            validate_every_steps=epoch,
            save_every_steps=500,
            log_every_steps=10,
        )
    )


def small() -> SyncNetConfig:
    """For two cores: a quarter of the width, lips of 64 px, 8 clips of 30 frames a step. Inferred,
    by trials (docs/models/syncnet.md): a mouth in a face of 112 px is smaller and cost three
    times as much; Adam, for 300 steps are few for SGD's 1e-3."""
    return SyncNetConfig(
        shape=SyncNetShape(width=0.25, picture_px=64),
        view=SyncNetView(crop="lip", mirror=True),
        recipe=Recipe(
            steps=300,
            batch=8,
            optimizer="adam",
            learning_rate=1e-3,
            warmup_steps=20,
            schedule="cosine",
            clip_norm=5.0,
            validate_every_steps=50,
            save_every_steps=50,
        ),
    )


PRESETS = {"paper": paper, "tiny": small}
