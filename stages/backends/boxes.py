"""One convention for face boxes, whichever detector drew them.

Later stages (smallest face, crops of SyncNet and Light-ASD, landmarks of dlib) were built on
the square that dlib's HOG detector draws from brow to chin. Others draw the whole face from
the hairline down, or less. Each detector carries the mean change to that square, measured on
frontal faces of the reference clips (`benchmarks/face_backends.py --fit-boxes`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HouseBox:
    """A square about a detector's box: shift and side in units of its longer side, which a
    turning head changes least."""

    down: float = 0.0
    side: float = 1.0
    as_is: bool = False
    """The detector draws the house's square itself."""

    def of(self, boxes: np.ndarray) -> np.ndarray:
        """The detector's boxes xyxy [N, 4] px -> squares xyxy float32 [N, 4] px."""
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        if self.as_is:
            return boxes
        unit = (boxes[:, 2:] - boxes[:, :2]).max(1)
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        y, half = y + self.down * unit, self.side * unit / 2
        return np.stack([x - half, y - half, x + half, y + half], 1)

    @staticmethod
    def fit(boxes: np.ndarray, squares: np.ndarray) -> HouseBox:
        """The medians that take `boxes` [N, 4] to `squares` [N, 4] of the same faces."""
        unit = (boxes[:, 2:] - boxes[:, :2]).max(1)
        down = ((squares[:, 1] + squares[:, 3]) - (boxes[:, 1] + boxes[:, 3])) / 2 / unit
        side = (squares[:, 2:] - squares[:, :2]).max(1) / unit
        return HouseBox(round(float(np.median(down)), 3), round(float(np.median(side)), 3))


HOUSE = HouseBox(as_is=True)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two xyxy boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inner = float(np.prod(np.clip(high - low, 0, None)))
    whole = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - inner
    return inner / whole if whole > 0 else 0.0
