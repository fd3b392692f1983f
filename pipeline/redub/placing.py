"""Where a made face lies in a picture of the source, and which part of it is shown.

Legend: a matrix [2, 3] brings (x, y, 1) of the source to the canonical frame; pixel centres are
whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from manifests.crops import ANCHORS, CROPS, template
from training.data.by_eyes import followed_by, inverse_of, window_of
from training.data.views import View

Region = Literal["lower", "face"]
LOWER_LIDS = (40, 41, 46, 47)
BELOW_PX = 2.0
"""From the lower lids to where the mask begins, in made pixels (inferred; the paper: "from just
below the eyes", section 4.3)."""
SIDE_PX, BOTTOM_PX = 8.0, 5.0
"""Of a made picture that is not shown at its other edges (inferred): what its last convolutions
put around it (two pixels above and left, one below and right, each) is seen that far. With 3 px a
line stood in the plain background of a redubbed clip."""


@dataclass(frozen=True)
class Placed:
    """A made face in a part of a source picture."""

    part: tuple[slice, slice]
    """Rows and columns of the picture."""
    face: np.ndarray
    """float32 [h, w, 3] of that part."""
    mask: np.ndarray
    """bool [h, w]: where it is to be shown."""


@dataclass(frozen=True)
class Placing:
    """How made pictures of a view lie: those of `height_px` x `width_px`, of which the first is
    pixel `first_px` of the view's own, in both directions."""

    view: View
    first_px: int
    region: Region = "lower"

    def place(self, made: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> Placed:
        """uint8 [h', w', 3] into a source picture of `size` (height, width)."""
        height, width = made.shape[:2]
        way = followed_by(matrix, self._to_made())
        back = inverse_of(way)
        x0, y0, x1, y1 = self._box(height, width)
        corners = np.array([(x, y, 1.0) for x in (x0, x1) for y in (y0, y1)]) @ back.T
        # One pixel more on each side: the border that the inside is joined to.
        low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, (size[1], size[0]))
        high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, low, (size[1], size[0]))
        part = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
        columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        x, y = np.einsum("ij,jhw->ihw", way, np.stack([columns, rows, np.ones_like(rows)]))
        mask = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        if not mask.any():
            return Placed(part, np.zeros((*mask.shape, 3), np.float32), mask)
        face = cv2.remap(
            np.asarray(made, np.float32),
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_CUBIC if np.hypot(*way[:, 0]) < 1 else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return Placed(part, face, mask)

    def _to_made(self) -> np.ndarray:
        """From the canonical canvas to made pixels."""
        crop = CROPS[self.view.crop]
        way = window_of(crop, crop.size(self.view.height_px)[0])
        way[:, 2] -= self.first_px
        return way

    def _box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what is shown, in made pixels."""
        top = SIDE_PX
        if self.region == "lower":
            lids = template()[[ANCHORS.index(point) for point in LOWER_LIDS]].mean(0)
            top = float(self._to_made()[1] @ np.append(lids, 1.0)) + BELOW_PX
        return SIDE_PX, top, width - 1 - SIDE_PX, height - 1 - BOTTOM_PX
