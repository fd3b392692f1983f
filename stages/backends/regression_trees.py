"""dlib's 68 points from flattened trees: many faces at a time, and finer than whole pixels.

The same arithmetic as `dlib.shape_predictor` up to the last step, where dlib rounds the points
(test_dlib_files.py holds them equal). Vectors run over faces and trees; the sum over leaves, two
thirds of the work, is a sparse product, which reads the leaves of faces that are alike from the
cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stages.backends.dlib_files import CASCADES, POINTS, SPLITS, TREES, Trees

DEPTH = 4


class TreePoints:
    """Fits points in boxes. Numbers are single where dlib's are: a pixel that lies between two
    must be the same one."""

    def __init__(self, trees: Trees) -> None:
        self.trees = trees
        mean = trees.mean.reshape(POINTS, 2).astype(np.float64) @ [1, 1j]
        self._mean = mean - mean.mean()
        self._mean_power = float((np.abs(self._mean) ** 2).sum())
        self._delta = (trees.delta @ np.array([1, 1j], np.complex64)).astype(np.complex64)
        self._first = trees.first.reshape(CASCADES, -1)
        self._second = trees.second.reshape(CASCADES, -1)
        self._threshold = trees.threshold.reshape(CASCADES, -1)
        self._root = SPLITS * np.arange(TREES)
        self._leaf = (SPLITS + 1) * np.arange(TREES) - SPLITS

    def fit(self, pictures: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        """Brightness uint8 [H, W] for each of the boxes xyxy [N, 4] px (exclusive ends)
        -> points float32 [N, 68, 2] px."""
        # The kernel below `csr_array @ dense`: it adds leaf by leaf to what is there, in dlib's
        # order, so that the points are dlib's to the last bit.
        from scipy.sparse._sparsetools import csr_matvecs

        count = len(boxes)
        boxes = np.asarray(boxes, np.float64)
        low, size = boxes[:, :2], boxes[:, 2:] - 1 - boxes[:, :2]
        ends_px = np.array([picture.shape[::-1] for picture in pictures])
        points = np.repeat(self.trees.mean[None], count, 0)
        ones = np.ones(count * TREES, np.float32)
        ends = np.arange(0, count * TREES + 1, TREES, dtype=np.int32)
        for cascade in range(CASCADES):
            values = self._pixels(pictures, ends_px, points, low, size, cascade)
            leaf = self._leaves(values, cascade).astype(np.int32)
            csr_matvecs(
                count,
                TREES * (SPLITS + 1),
                2 * POINTS,
                ends,
                leaf.ravel(),
                ones,
                self.trees.leaves[cascade].ravel(),
                points.ravel(),
            )
        made = points.reshape(count, POINTS, 2) * size[:, None] + low[:, None]
        return made.astype(np.float32)

    def _pixels(self, pictures, ends_px, points, low, size, cascade: int) -> np.ndarray:
        """Brightness int16 [N, 500] of the cascade's pixels; 0 outside of the picture."""
        now = points.view(np.complex64)  # x and y in turn
        turn = (now - now.mean(1, keepdims=True)) @ self._mean.conj() / self._mean_power
        place = turn.astype(np.complex64)[:, None] * self._delta[cascade]
        place += now[:, self.trees.anchor[cascade]]
        x = np.floor(place.real * size[:, None, 0] + (low[:, None, 0] + 0.5)).astype(np.intp)
        y = np.floor(place.imag * size[:, None, 1] + (low[:, None, 1] + 0.5)).astype(np.intp)
        values = np.zeros(x.shape, np.int16)
        least = np.minimum(x.min(1), y.min(1))
        whole = (least >= 0) & (x.max(1) < ends_px[:, 0]) & (y.max(1) < ends_px[:, 1])
        for i, picture in enumerate(pictures):
            if whole[i]:
                values[i] = picture[y[i], x[i]]
            else:
                width, height = ends_px[i]
                inside = (y[i] >= 0) & (y[i] < height) & (x[i] >= 0) & (x[i] < width)
                values[i, inside] = picture[y[i, inside], x[i, inside]]
        return values

    def _leaves(self, values: np.ndarray, cascade: int) -> np.ndarray:
        """Rows int64 [N, 500] of the cascade's leaves that the trees come to."""
        first, second = self._first[cascade], self._second[cascade]
        threshold = self._threshold[cascade]
        row = np.arange(0, values.size, values.shape[1])[:, None]
        at = np.broadcast_to(self._root, (len(values), TREES))
        node = np.zeros(at.shape, np.int64)
        for _ in range(DEPTH):
            difference = values.take(first.take(at) + row) - values.take(second.take(at) + row)
            node = 2 * node + 2 - (difference > threshold.take(at))
            at = self._root + node
        return self._leaf + node
