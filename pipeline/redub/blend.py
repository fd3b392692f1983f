"""Poisson editing (Perez, Gangnet and Blake 2003): a picture's gradients inside a mask, another's
values on its border, so that no seam is seen where their light differs.

What is solved for is the difference f - g, which is harmonic: it has no gradient of its own inside
and is known on the border (their equation 10). A sparse factorisation serves all three channels.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def blended(target: np.ndarray, source: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`target` uint8 [H, W, 3] with the gradients of `source` float32 [H, W, 3] inside `mask` bool
    [H, W]: uint8, and outside of it the target's own values bit for bit.

    Where the mask meets the picture's edge nothing is known beyond: no gradient is asked for there.
    A part of the mask that nothing borders keeps the source's own values.
    """
    if not mask.any():
        return target
    rows, columns = np.nonzero(mask)
    top, left = max(0, rows.min() - 1), max(0, columns.min() - 1)
    part = (slice(top, rows.max() + 2), slice(left, columns.max() + 2))
    made = target.copy()
    whole = source[part] + membrane(target[part].astype(np.float64) - source[part], mask[part])
    inside = mask[part]
    made[part][inside] = np.clip(np.rint(whole[inside]), 0, 255).astype(np.uint8)
    return made


def membrane(border: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Values float64 [H, W, C] that are `border`'s outside `mask` and harmonic inside: each the
    mean of its neighbours (four, fewer at the picture's edge)."""
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(mask.sum())
    inside, made = number[mask], border.copy()
    count = np.zeros(len(inside))
    wanted = np.zeros((len(inside), border.shape[2]))
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for down, right in STEPS:
        beside = _moved(number, down, right, -2)[mask]
        values = _moved(border, down, right, 0.0)[mask]
        count += beside != -2
        wanted[beside == -1] += values[beside == -1]
        linked = beside >= 0
        pairs.append((inside[linked], beside[linked]))
    rows, columns = (np.concatenate(found) for found in zip(*pairs, strict=True))
    if not (count > np.bincount(rows, minlength=len(inside))).any():
        made[mask] = 0.0
        return made
    matrix = coo_matrix(
        (
            np.concatenate([count, -np.ones(len(rows))]),
            (np.concatenate([inside, rows]), np.concatenate([inside, columns])),
        )
    ).tocsc()
    # Symmetric and positive: an order of the unknowns for that is five times as fast.
    solver = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    made[mask] = solver.solve(wanted)
    return made


def _moved(values: np.ndarray, down: int, right: int, beyond: float) -> np.ndarray:
    """What stands `down` rows and `right` columns from each place; `beyond` outside."""
    made = np.full_like(values, beyond)
    height, width = values.shape[:2]
    to_rows, of_rows = _span(down, height)
    to_columns, of_columns = _span(right, width)
    made[to_rows, to_columns] = values[of_rows, of_columns]
    return made


def _span(step: int, size: int) -> tuple[slice, slice]:
    return slice(max(0, -step), size - max(0, step)), slice(max(0, step), size - max(0, -step))
