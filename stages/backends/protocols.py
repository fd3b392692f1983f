"""What a face backend offers. Implementations are chosen by name in `registry`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from stages.backends.boxes import HouseBox


class Detector(Protocol):
    """Finds faces. `name` and `version` enter the stage's fingerprint."""

    name: str
    version: str
    whole_picture: bool
    """Wants whole pictures in colour, many at a time; else small windows about known faces."""
    batch_size: int
    """Pictures that are gathered before it is asked."""
    batched: bool
    """Has `run(batch, threshold)`: its network takes many pictures of one size at a time, which
    may come from several videos (`sharing`)."""
    min_score: float
    """Score of a face that nobody followed before, if the settings do not say."""
    keep_score: float
    """Score that keeps a followed face, if the settings do not say."""
    threshold: float
    """Least score returned."""
    house: HouseBox
    """From its boxes to the squares that all later stages use."""

    def setup(self) -> None:
        """Load libraries and weights. Raises SetupError."""
        ...

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """uint8 [H, W] or [H, W, 3] RGB each -> (boxes xyxy float32 [N, 4] px, scores [N]).

        The pictures may differ in size. The boxes are the detector's own kind.
        """
        ...


class Landmarker(Protocol):
    """Fits 68 points in the house's square about a face."""

    name: str
    version: str
    in_colour: bool
    """Wants uint8 [H, W, 3] RGB; else brightness [H, W]."""
    batched: bool
    """Has `fit_many(pictures, boxes)`, `fit` with a picture of its own for each box, and
    `places(crops)` for faces of several videos (`sharing`)."""
    gathered: int
    """Faces, of later frames too, that are gathered before it is asked for them by `fit_many`; 1
    for one that gains nothing by it."""

    def setup(self) -> None:
        """Load libraries and weights. Raises SetupError."""
        ...

    def fit(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """uint8 picture, squares xyxy [N, 4] px -> points float32 [N, 68, 2] px.

        NaN in all points of a face where nothing fits.
        """
        ...


class Embedder(Protocol):
    """Maps aligned face chips to identity embeddings."""

    name: str
    version: str
    chips: str
    """Which pictures of the face it takes: a key of `chips.CHIP_SHAPES`."""
    same_person_distance: float
    """Euclidean distance under which two embeddings are taken as one person."""

    def setup(self) -> None:
        """Load libraries and weights. Raises SetupError."""
        ...

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """uint8 [N, *CHIP_SHAPES[self.chips]] RGB -> float32 [N, D]."""
        ...
