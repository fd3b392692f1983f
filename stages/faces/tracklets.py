"""A face that is being followed, and what tells whether it is still the same one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manifests.media.shrinking import resized
from stages.faces.chip_keeper import ChipKeeper
from stages.faces.mouths import MouthCropper


@dataclass
class Tracklet:
    """One face being followed; `number` is unique in the video."""

    number: int
    box: np.ndarray
    score: float
    keeper: ChipKeeper
    frames: list[int] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    mouths: list[np.ndarray] = field(default_factory=list)
    cropper: MouthCropper = field(default_factory=MouthCropper)
    thumb: np.ndarray | None = None

    def take(self) -> TrackletRows:
        """The rows that nothing more will be added to, no longer kept here."""
        count = len(self.mouths)  # a mouth comes out some frames after its frame
        made = TrackletRows(
            self.number,
            self.frames[:count],
            self.boxes[:count],
            self.points[:count],
            self.scores[:count],
            self.mouths[:count],
            self.keeper.chips,
        )
        self.frames, self.boxes = self.frames[count:], self.boxes[count:]
        self.points, self.scores = self.points[count:], self.scores[count:]
        self.mouths, self.keeper.chips = [], []
        return made


@dataclass
class TrackletRows:
    """Some frames of tracklet `number`, in order, with the chips taken meanwhile."""

    number: int
    frames: list[int]
    boxes: list[np.ndarray]
    points: list[np.ndarray]
    scores: list[float]
    mouths: list[np.ndarray]
    chips: list[tuple[int, Any, float]]

    def scale(self, scale: float) -> None:
        """Take boxes and points to other pixels."""
        self.boxes = [np.asarray(box, np.float32) * scale for box in self.boxes]
        self.points = [np.asarray(points, np.float32) * scale for points in self.points]

    def move(self, frames: int, numbers: int) -> None:
        """Count frames and tracklets from elsewhere."""
        self.number += numbers
        self.frames = [frame + frames for frame in self.frames]
        self.chips = [(frame + frames, chip, likeness) for frame, chip, likeness in self.chips]


def between(start: np.ndarray, end: np.ndarray, step: int, steps: int) -> np.ndarray:
    """The box of frame `step` of `steps` on the way from one detection to the next."""
    share = (step + 1) / steps
    return (1 - share) * start + share * end


def thumb_of(luma: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The face in 24x24, zero mean, unit length: for correlation with its neighbours."""
    height, width = luma.shape
    x0, y0, x1, y1 = np.round(box).astype(int)
    x0, y0 = max(x0, 0), max(y0, 0)
    x1, y1 = min(max(x1, x0 + 2), width), min(max(y1, y0 + 2), height)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return np.zeros((24, 24), np.float32)
    # Even sides, so that large faces are halved first, which takes a fifth of the time.
    even = luma[y0 : y1 - (y1 - y0) % 2, x0 : x1 - (x1 - x0) % 2]
    thumb = resized(even, (24, 24))
    thumb = thumb.astype(np.float32) - thumb.mean()
    return thumb / max(float(np.linalg.norm(thumb)), 1e-6)
