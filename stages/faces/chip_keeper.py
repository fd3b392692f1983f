"""Which frames of a followed face are kept as chips, to ask later whose face it is.

An embedding costs as much as half a second of everything else, so most frames are vouched for
by a cheap likeness: the eye-aligned face, 24 px, correlated with the one of the last regular
chip. Between different people it stays under `SUSPECT_BELOW` in 99 of 100 pairs of frames
(24 people, frames of the reference clips), whatever their places; where it falls under, as in
a dissolve, chips are taken close together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from stages.faces.chips import FaceChips

LIKENESS_PX = 24
EYES_APART_PX, EYES_DOWN_PX = 11.0, 8.0
SUSPECT_BELOW = 0.75
SUSPECT_EVERY = 10
TAIL_FRAMES = 3
"""The last frame or two before a cut may be blended with what follows: the chip that vouches
for the end of a face comes from this many frames before it."""


def likeness_of(luma: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Eye-aligned face float32 [24, 24], zero mean and unit length, of luma uint8 [H, W] and
    points [68, 2] px: the product of two sums to their correlation."""
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    across, centre = right - left, (left + right) / 2
    apart = max(float(np.hypot(*across)), 1e-3)
    # A window that holds the face in any roll; shrunk by area first, so the warp cannot alias.
    reach = apart * 1.5 * LIKENESS_PX / EYES_APART_PX
    size = luma.shape[::-1]
    low = np.clip(np.floor(centre - reach), 0, np.subtract(size, 2)).astype(int)
    high = np.clip(np.ceil(centre + reach), low + 2, size).astype(int)
    window = luma[low[1] : high[1], low[0] : high[0]]
    shrink = min(1.0, 2 * EYES_APART_PX / apart)
    if shrink < 1:
        wanted = np.maximum(np.round((high - low) * shrink), 2).astype(int)
        window = cv2.resize(window, wanted.tolist(), interpolation=cv2.INTER_AREA)
    scale = np.array(window.shape[::-1]) / (high - low)
    cosine, sine = across / apart * (EYES_APART_PX / apart)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    shift = np.array([LIKENESS_PX / 2 - 0.5, EYES_DOWN_PX]) - turn @ (centre - low)
    warp = np.c_[turn / scale, shift]
    face = cv2.warpAffine(
        window,
        warp,
        (LIKENESS_PX, LIKENESS_PX),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)
    face -= face.mean()
    return face / max(float(np.linalg.norm(face)), 1e-6)


class ChipKeeper:
    """Chips of one tracklet. `chips` holds (frame, pictures, likeness) in order of frames; the
    likeness to the last regular chip is 1 for regular ones and at the ends. Whoever takes chips
    away may do so at any time."""

    def __init__(
        self,
        make_chip: Callable[[np.ndarray, np.ndarray], FaceChips],
        chip_every: int,
        look_every: int,
    ) -> None:
        self.make_chip, self.chip_every, self.look_every = make_chip, chip_every, look_every
        self.chips: list[tuple[int, FaceChips, float]] = []
        self._reference: np.ndarray | None = None
        self._last_frame = -1
        self._recent: deque[tuple[int, Any, np.ndarray]] = deque(maxlen=TAIL_FRAMES)

    def offer(
        self, frame: int, luma: np.ndarray, rgb: Callable[[], np.ndarray], points: np.ndarray
    ) -> None:
        """Take a chip of this frame, or let it go. Call with each frame in order."""
        self._recent.append((frame, rgb, points))
        if self._reference is None or frame % self.chip_every == 0:
            self._reference = likeness_of(luma, points)
            self._take(frame, rgb, points)
        elif frame % self.look_every == 0 and frame - self._last_frame >= SUSPECT_EVERY:
            like = float((self._reference * likeness_of(luma, points)).sum())
            if like < SUSPECT_BELOW:
                self._take(frame, rgb, points, like)

    def close(self) -> None:
        """The face is gone: one more chip vouches for its end."""
        if self._recent and self._recent[0][0] > self._last_frame + self.look_every:
            self._take(*self._recent[0])
        self._recent.clear()

    def _take(
        self, frame: int, rgb: Callable[[], np.ndarray], points: np.ndarray, likeness: float = 1.0
    ) -> None:
        self.chips.append((frame, self.make_chip(rgb(), points), likeness))
        self._last_frame = frame
