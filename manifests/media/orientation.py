"""How a picture is turned for display: the eight ways of a display matrix.

A picture is mirrored left to right first, where it is, and then turned clockwise. A matrix that
turns by another angle is taken as the nearest quarter.
"""

from __future__ import annotations

import math
import struct

import numpy as np


def orientation_of(side_data: bytes | None) -> tuple[bool, int]:
    """(is mirrored, degrees clockwise) of a display matrix: nine int32, row by row, by which
    (x, y, 1) is multiplied from the left. None, and a matrix that shows nothing, is upright."""
    if side_data is None or len(side_data) < 36:
        return False, 0
    a, b, _, c, d = struct.unpack("=9i", bytes(side_data)[:36])[:5]
    size = a * d - b * c
    if not size:
        return False, 0
    if size < 0:
        a, b = -a, -b
    degrees = math.degrees(math.atan2(b, a))
    return size < 0, round(degrees / 90) % 4 * 90


def upright(picture: np.ndarray, is_mirrored: bool, rotation_deg: int) -> np.ndarray:
    """A view of `picture`, [H, W] or [H, W, 3], as it is to be shown."""
    if is_mirrored:
        picture = picture[:, ::-1]
    return np.rot90(picture, -rotation_deg // 90) if rotation_deg else picture
