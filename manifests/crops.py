"""The canonical face and the fixed windows that the papers' crops are of it, in one table.

The template places the 21 points of nose and eyes (indices 27 to 47 of 68) in a 256 x 256
picture. It is the mirror-symmetric mean of similarity-aligned faces of 14 speakers
(`training.models.lipsync.linear.mean_face`), eyes level and 70 px apart, so that brow and chin are
inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

CANVAS_PX = 256
EYE_DISTANCE_PX, EYE_CENTRE_PX = 70.0, (128.0, 98.0)
TEMPLATE_FILE = Path(__file__).parent / "template.json"
ANCHORS = tuple(range(27, 48))
"""Nose and eyes: never the mouth, whose motion is the signal (Chung 2017, section 2)."""


@dataclass(frozen=True)
class Crop:
    """A window `[y0:y1, x0:x1]` of the canonical frame, shown at `height` x `width`."""

    x0: int
    y0: int
    x1: int
    y1: int
    height: int
    width: int
    source: str

    @property
    def rows_columns(self) -> tuple[slice, slice]:
        """The window itself, to index a picture with."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def size(self, height_px: int | None = None) -> tuple[int, int]:
        """Height and width in px: the crop's own, or of the same shape at another height."""
        if height_px is None:
            return self.height, self.width
        return height_px, max(round(height_px * self.width / self.height), 1)


CROPS = {
    "face": Crop(0, 0, 256, 256, 256, 256, "the canonical frame"),
    "syncnet": Crop(16, 24, 240, 248, 224, 224, "SyncNet: face of 224, more chin than brow"),
    "speech2vid": Crop(40, 40, 216, 216, 112, 112, "Chung 2017, section 2: 112 x 112 face"),
    "ephrat": Crop(28, 3, 228, 253, 160, 128, "Ephrat 2017, section 3.1: 160 x 128 face"),
    "vougioukas": Crop(
        53, 128, 203, 228, 64, 96, "Vougioukas 2019, section 3.1: lower half of 128 x 96"
    ),
    "mouth": Crop(68, 133, 188, 233, 40, 48, "our landmark sync model: lips, chin, a little cheek"),
    "identity": Crop(
        24, 14, 232, 222, 160, 160, "FaceNet's input: eyes 54 px apart, two fifths down (inferred)"
    ),
    "lip": Crop(80, 128, 176, 224, 96, 96, "lip region of 96 (Lip2Speech, Niu & Mak)"),
}


def crop(frames: np.ndarray, name: str) -> np.ndarray:
    """uint8 [T, 256, 256, 3] -> uint8 [T, height, width, 3]. Raises KeyError for no such crop."""
    window = CROPS[name]
    return resized(frames[:, *window.rows_columns], *window.size())


def resized(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [T, h, w, ...] -> [T, height, width, ...], by the mean over areas; linear to more."""
    import cv2

    if pictures.shape[1:3] == (height, width):
        return np.ascontiguousarray(pictures)
    grows = height > pictures.shape[1]
    how = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
    return np.stack([cv2.resize(p, (width, height), interpolation=how) for p in pictures])


def template() -> np.ndarray:
    """Anchor positions in the canonical frame, float32 [21, 2] px."""
    import json

    return np.array(json.loads(TEMPLATE_FILE.read_text())["anchors_px"], np.float32)
