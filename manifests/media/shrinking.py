"""Pictures made smaller by the mean over areas, as fast as OpenCV does it."""

from __future__ import annotations

import cv2
import numpy as np


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W] in another (width, height), by the mean over areas where it shrinks.

    Halves first, as long as they are whole: those OpenCV averages an order of magnitude faster.
    """
    while (
        picture.shape[1] >= 2 * size[0]
        and picture.shape[0] >= 2 * size[1]
        and not (picture.shape[0] % 2 or picture.shape[1] % 2)
    ):
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
    if picture.shape[::-1] == size:
        return picture
    shrinks = size[0] < picture.shape[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def is_halved_to(whole: tuple[int, ...], made: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether `resized` of a picture of shape `whole` to `size` comes by the shape `made`."""
    height, width = whole
    while (height, width) != made:
        if width < 2 * size[0] or height < 2 * size[1] or width % 2 or height % 2:
            return False
        height, width = height // 2, width // 2
    return True
