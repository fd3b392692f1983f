"""What a face backend offers. Implementations are chosen by name in `registry`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from stages.backends.speaker_choosers import FaceInView, View


class Detector(Protocol):
    """Finds faces. `name` and `version` enter the stage's fingerprint."""

    name: str
    version: str

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """uint8 [H, W] or [H, W, 3] RGB each -> (boxes xyxy float32 [N, 4] px, scores [N])."""
        ...


class Landmarker(Protocol):
    """Fits 68 points in a box."""

    name: str
    version: str

    def fit(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """uint8 picture, boxes xyxy [N, 4] px -> points float32 [N, 68, 2] px."""
        ...


class Embedder(Protocol):
    """Maps aligned face chips to identity embeddings."""

    name: str
    version: str
    same_person_distance: float
    """Euclidean distance under which two embeddings are taken as one person."""

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Chips uint8 [N, 150, 150, 3] RGB -> float32 [N, D]."""
        ...


class SpeakerChooser(Protocol):
    """Scores faces that are in view together by how well they go with the sound."""

    name: str
    version: str
    margin: float
    """Lead from which a face is taken for the speaker, in the unit of the scores."""

    def setup(self) -> None:
        """Load weights. Raises SetupError."""
        ...

    def scores(self, faces: Sequence[FaceInView], view: View) -> list[float]:
        """One score per face, higher speaks."""
        ...
