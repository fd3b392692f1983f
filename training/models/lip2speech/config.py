"""Lip2Speech's settings and presets; `paper`, `code` and `tiny` are the same classes.

Sections are those of the paper; "inferred" says why where it is silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from manifests.records import col
from training.data.views import View
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.models.lip2speech import shape as shapes
from training.models.lip2speech.objective import LossWeights
from training.models.lip2speech.shape import Lip2SpeechShape
from training.models.speaker_identity.config import FaceStart


@dataclass(frozen=True)
class Lip2SpeechView:
    """What of a clip is seen and heard. The canonical face is decoded once; lips and the identity's
    face are windows of it."""

    num_frames: int = col(
        "longest window, and the chunks of long videos (4.2: 2 s)", "frame", default=50, at_least=25
    )
    pairing: Literal["raw", "corrected"] = col(
        "corrected: measured lags are taken out of the sound; inferred, the paper takes LRW as it "
        "is",
        default="corrected",
    )
    mirror: bool = col("half of the clips mirrored (4.2)", default=True)
    brightness: float = col(
        "up to so much lighter or darker; inferred: not at all",
        default=0.0,
        at_least=0.0,
        at_most=0.9,
    )
    face: Literal["first", "random"] = col(
        "frame of the window whose face gives the voice: first (3.2); random (the authors' code)",
        default="first",
    )

    @property
    def view(self) -> View:
        """As the loader takes it; the whole canonical face."""
        return View(
            "face",
            sound="lip2speech",
            num_frames=self.num_frames,
            pairing=self.pairing,
            waveform=True,
        )

    def lips(self, shape: Lip2SpeechShape) -> View:
        return View("lip", shape.lip_px)

    def face_view(self, shape: Lip2SpeechShape) -> View:
        return View("identity", shape.identity.face_px)


@dataclass(frozen=True)
class IdentitySource:
    """Where the speaker identity module comes from; it is frozen while the rest learns (3.3)."""

    run: str | None = col(
        "a training of speaker_identity, of the same shape; null: it is trained here first",
        default=None,
    )
    steps: int = col(
        "null: the first steps, which train it on the same clips; inferred, the paper trains it "
        "on AVSpeech",
        "step",
        default=5000,
        at_least=0,
    )
    start: FaceStart = field(default_factory=FaceStart)


@dataclass(frozen=True)
class Teacher:
    """How often the decoder hears the true column before, and not its own (4.2)."""

    kind: Literal["annealed", "published"] = col(
        "annealed: with a chance that falls by `fall` each `epochs`; published: the authors' code, "
        "where a ratio rises by it",
        default="annealed",
    )
    epochs: int = col("4.2: 10", default=10, at_least=1)
    fall: float = col("inferred, and the first too; the authors' code has .1", default=0.1)


@dataclass(frozen=True)
class Lip2SpeechConfig:
    """All settings of a training of Lip2Speech."""

    shape: Lip2SpeechShape = field(default_factory=Lip2SpeechShape)
    view: Lip2SpeechView = field(default_factory=Lip2SpeechView)
    identity: IdentitySource = field(default_factory=IdentitySource)
    teacher: Teacher = field(default_factory=Teacher)
    loss: LossWeights = field(default_factory=LossWeights)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def first_steps(self) -> int:
        """Steps that train the speaker identity module."""
        return 0 if self.identity.run is not None else self.identity.steps


def paper() -> Lip2SpeechConfig:
    """4.2: Adam at 1e-3, 84 clips a step, 300 epochs, ended when the validation has not become
    better for ten. Steps are of LRW's 488,766 clips, 5818 an epoch."""
    return Lip2SpeechConfig(
        recipe=Recipe(
            steps=1_745_400,
            batch=84,
            learning_rate=1e-3,
            validate_every_steps=5818,
            save_every_steps=1000,
            patience=9,
            log_every_steps=10,
        )
    )


def code() -> Lip2SpeechConfig:
    """The authors' code, but for its traps (docs/models/lip2speech.md): AdamW at 1e-4 with AMSGrad,
    64 clips a step, norm clipped at 1."""
    return Lip2SpeechConfig(
        shape=shapes.code(),
        view=Lip2SpeechView(face="random"),
        identity=IdentitySource(start=FaceStart(frozen="all_but_head")),
        teacher=Teacher("published"),
        loss=LossWeights(post=10.0),
        recipe=Recipe(
            steps=6_400_000,
            batch=64,
            optimizer="adamw",
            amsgrad=True,
            learning_rate=1e-4,
            weight_decay=1e-6,
            clip_norm=1.0,
            validate_every_steps=2000,
            save_every_steps=1000,
            log_every_steps=10,
        ),
    )


def small() -> Lip2SpeechConfig:
    """For two cores: a quarter of the width, lips of 48 px, faces of 80 px from scratch, whose
    identity is trained for 20 steps; the teacher leaves five times as fast. As many steps as it
    takes until the attention follows the lips (docs/models/lip2speech.md)."""
    return Lip2SpeechConfig(
        shape=shapes.tiny(),
        view=Lip2SpeechView(brightness=0.2),
        identity=IdentitySource(steps=20, start=FaceStart(pretrained=None, frozen="none")),
        teacher=Teacher(epochs=2),
        recipe=Recipe(
            steps=2300,
            batch=12,
            learning_rate=1e-3,
            warmup_steps=20,
            schedule="cosine",
            clip_norm=1.0,
            average=0.95,
            validate_every_steps=230,
            save_every_steps=50,
        ),
    )


PRESETS = {"paper": paper, "code": code, "tiny": small}
