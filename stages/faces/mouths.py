"""Small registered pictures of the mouth, cut in the one pass that sees every frame.

The synchrony model looks at lips and chin at 28 px per eye distance. Cutting them while the
picture is at hand costs about 0.1 ms a frame (0.08 for eyes 47 px apart, 0.16 for 140 px), much
less than a second decode. The window is `mouth` of `manifests.crops`, so the same pictures come
out of a sample's `face.mp4`.
"""

from __future__ import annotations

import numpy as np

from manifests.crops import ANCHORS, CROPS, template
from stages.faces.registration import warp
from stages.networks.lipsync_linear import similarity

WINDOW = CROPS["mouth"]
HALF_SMOOTH = 4
"""Frames to either side over which the transform is averaged: a landmark's jitter at the eyes
must not shake the mouth."""


class MouthCropper:
    """Cuts the mouth of one followed face; a crop comes out four frames after its frame."""

    def __init__(self) -> None:
        self._target = template().astype(np.float64)
        self._linear: list[np.ndarray] = []
        self._centres: list[np.ndarray] = []
        self._pictures: list[np.ndarray] = []
        self._first = self._done = 0
        """Frame numbers, counted from the face's first: of the lists' first entry, and of the
        next crop."""

    def push(self, luma: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
        """Frame uint8 [H, W] with points float32 [68, 2] px -> crops now known, uint8 [40, 48]."""
        anchors = points[list(ANCHORS)].astype(np.float64)
        self._linear.append(similarity(anchors, self._target)[:, :2])
        self._centres.append(anchors.mean(0))
        self._pictures.append(luma)
        return self._cut(len(self._linear) + self._first - HALF_SMOOTH)

    def finish(self) -> list[np.ndarray]:
        """The crops still owed, once the face is gone."""
        made = self._cut(len(self._linear) + self._first)
        self._pictures = []  # a closed face must not hold pictures
        return made

    def _cut(self, until: int) -> list[np.ndarray]:
        made = []
        end = self._first + len(self._linear)
        while self._done < until:
            # As many frames before as after: a mean over those lags nothing.
            reach = min(HALF_SMOOTH, self._done, end - 1 - self._done)
            low, high = self._done - reach - self._first, self._done + reach + 1 - self._first
            linear = np.mean(self._linear[low:high], 0)
            centre = np.mean(self._centres[low:high], 0)
            shift = self._target.mean(0) - linear @ centre
            made.append(
                warp(
                    self._pictures[self._done - self._first],
                    _window_of(np.c_[linear, shift]),
                    (WINDOW.width, WINDOW.height),
                )
            )
            self._done += 1
            drop = max(0, self._done - HALF_SMOOTH - self._first)
            self._linear, self._centres = self._linear[drop:], self._centres[drop:]
            self._pictures = self._pictures[drop:]
            self._first += drop
        return made


def _window_of(matrix: np.ndarray) -> np.ndarray:
    """Source to canonical [2, 3] -> source to the window's own pixels."""
    scale = WINDOW.width / (WINDOW.x1 - WINDOW.x0)
    moved = matrix * scale
    # Pixel centres: window x = (canonical x - x0 + 0.5) * scale - 0.5.
    moved[:, 2] += (0.5 - np.array([WINDOW.x0, WINDOW.y0])) * scale - 0.5
    return moved
