"""The face of a clip, as the pipeline has found and written it for the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.metrics.errors import NoScore
from manifests.arrays import load_npz


@dataclass(frozen=True)
class Face:
    """The longest face track of a clip, T frames at 25 fps."""

    landmarks: np.ndarray
    """float32 [T, 68, 2], px of the clip's pictures."""
    mouths: np.ndarray
    """uint8 [T, 40, 48]."""
    start_frame: int
    """First frame of the track in the clip."""
    crops: np.ndarray | None = None
    """uint8 [T, 224, 224, 3] RGB as SyncNet expects them."""

    def whole_landmarks(self) -> np.ndarray:
        """float32 [start_frame + T, 68, 2] from the clip's first frame on, NaN before the track."""
        empty = np.full((self.start_frame, 68, 2), np.nan, np.float32)
        return np.concatenate([empty, self.landmarks])


def read_face(path: str | Path) -> Face:
    """Raises NoScore with the reason why the clip has no face."""
    arrays = load_npz(path)
    if "reason" in arrays:
        raise NoScore(str(arrays["reason"][0]))
    return Face(
        arrays["landmarks"], arrays["mouths"], int(arrays["start_frame"][0]), arrays.get("crops")
    )
