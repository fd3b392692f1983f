"""The speaker identity module's settings and presets; `paper` and `tiny` are the same classes.

Sections are those of Lip2Speech; "inferred" says why where they are silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from manifests.records import col
from training.data.views import View
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.models.speaker_identity.network import Frozen
from training.models.speaker_identity.shape import IdentityShape, tiny


@dataclass(frozen=True)
class IdentityView:
    """What of a clip is seen and heard."""

    crop: str = col("of manifests/crops.py; 4.2: the face", default="identity")
    min_frames: int = col(
        "shortest window of sound, which is drawn anew each time (4.2: 1 to 3 s)",
        "frame",
        default=25,
        at_least=13,
    )
    max_frames: int = col("longest", "frame", default=75, at_least=13)
    mirror: bool = col("half of the faces mirrored; the authors' code", default=True)

    def __post_init__(self) -> None:
        if self.max_frames < self.min_frames:
            raise ValueError("max_frames is the longest window: not below min_frames")

    def view(self, shape: IdentityShape) -> View:
        """Of one frame."""
        return View(self.crop, shape.face_px)


@dataclass(frozen=True)
class FaceStart:
    """What the face encoder begins with."""

    pretrained: str | None = col(
        "registered weights of Inception-ResNet v1 (`yld models list`); where they cannot be had, "
        "or null, all of it is trained from scratch. 3.3: CASIA-WebFace's",
        default="20180408-102900-casia-webface.pt",
    )
    frozen: Frozen = col(
        "of pretrained weights: three_blocks (3.3); all_but_head (the authors' code); none",
        default="three_blocks",
    )


@dataclass(frozen=True)
class IdentityConfig:
    """All settings of a training of the speaker identity module."""

    shape: IdentityShape = field(default_factory=IdentityShape)
    view: IdentityView = field(default_factory=IdentityView)
    start: FaceStart = field(default_factory=FaceStart)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)


def paper() -> IdentityConfig:
    """4.2: Adam at 1e-3, 64 clips a step, until the criterion improves no more. Inferred: judged
    each 500 steps (of 33,000 clips an epoch), ended after ten that were no better."""
    return IdentityConfig(
        recipe=Recipe(
            steps=720_000,
            batch=64,
            learning_rate=1e-3,
            validate_every_steps=500,
            save_every_steps=500,
            patience=9,
            log_every_steps=10,
        )
    )


def small() -> IdentityConfig:
    """For two cores: a quarter of the width, faces of 80 px, from scratch."""
    return IdentityConfig(
        shape=tiny(),
        start=FaceStart(pretrained=None, frozen="none"),
        recipe=Recipe(
            steps=200,
            batch=16,
            learning_rate=1e-3,
            clip_norm=10.0,
            validate_every_steps=50,
            save_every_steps=50,
        ),
    )


PRESETS = {"paper": paper, "tiny": small}
