"""What makes speech of a registered face: the part of a model that `yld synthesize` calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from training.data.views import View
from training.harness.data import Selected


class Speaker(Protocol):
    """A trained model, ready to speak; `catalogue.Kind.speaker` names its class, which is called
    with weights, config, facts and a device as `training.models.slts.speak.SltsSpeaker`."""

    @property
    def view(self) -> View:
        """Which pictures it takes (`View.seen`)."""

    @property
    def voices(self) -> Sequence[str]:
        """Training speakers whose voice it can be asked for."""

    def speak(self, pictures: np.ndarray, speaker: str | None = None, seed: int = 0) -> np.ndarray:
        """Pictures uint8 [T, h, w] or [T, h, w, 3] at 25 fps -> sound float32 [640 T] in +-1 at
        16 kHz, at the pictures' own time. Without a `speaker` a voice that is all voices' mean.

        The same call gives the same sound. Raises ValueError for a speaker that it does not know.
        """


@runtime_checkable
class FaceSpeaker(Protocol):
    """A `Speaker` that registers pictures by landmarks itself; called instead of `speak`."""

    def speak_face(
        self,
        pictures: np.ndarray,
        landmarks: np.ndarray | None,
        speaker: str | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """As `Speaker.speak`, with landmarks float32 [T, 68, 2] in the canonical frame."""


@runtime_checkable
class ExemplarSpeaker(Protocol):
    """A `Speaker` that can put its sound together from clips it learnt from."""

    def learn_from(self, parts: Sequence[Selected]) -> None:
        """Take the sound from these clips from now on."""


@runtime_checkable
class VoiceOfFace(Protocol):
    """A trained model that knows what voice a face may have, for text-to-speech that takes GE2E's
    vectors; `catalogue.Kind.embedder` names its class, which is called as a `Speaker`'s."""

    @property
    def face_view(self) -> View:
        """Which picture it takes (`View.seen`)."""

    def voice_of_face(self, face: np.ndarray) -> np.ndarray:
        """A picture uint8 [H, W, 3] -> float32 [256], not negative and of length 1."""


def windows_over(length: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Half-open windows of `size` that cover [0, length), each over at least `overlap` of the one
    before; one of `length` where that is shorter. Raises ValueError unless overlap < size."""
    if not 0 <= overlap < size:
        raise ValueError(f"windows of {size} cannot overlap by {overlap}")
    start = 0
    while start + size < length:
        yield start, start + size
        start += size - overlap
    yield max(0, length - size), length


def fades(size: int, before: int, after: int) -> np.ndarray:
    """Weights float32 [size] of a window that shares its first `before` and last `after` columns
    with neighbours: linear ramps, which of two neighbours add up to 1."""
    columns = np.arange(size)
    rise = np.minimum(1.0, (columns + 0.5) / before) if before else np.ones(size)
    fall = np.minimum(1.0, (size - columns - 0.5) / after) if after else np.ones(size)
    return (rise * fall).astype(np.float32)
