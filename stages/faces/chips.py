"""The two pictures of a face that identity embeddings are made from.

dlib's: 150 px, aligned to its mean face. ArcFace's and MobileFaceNet's: 112 px, in which five
points (eyes, nose, corners of the mouth) stand on a fixed template. Both are cut from the
picture while it is at hand; an embedder says which it wants by the name of the array.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.backends.dlib_faces import CHIP_PX, face_chip
from stages.faces.registration import warp
from stages.networks.lipsync_linear import similarity

ARCFACE_PX = 112
ARCFACE_POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)
"""Template of ArcFace (Deng et al. 2019, arXiv 1801.07698): eyes, nose, corners of the mouth."""

CHIP_SHAPES = {"chips": (CHIP_PX, CHIP_PX, 3), "aligned": (ARCFACE_PX, ARCFACE_PX, 3)}
"""Arrays of the side files, and the shape of one picture in each."""


class FaceChips(NamedTuple):
    """The pictures of one face: uint8 [150, 150, 3] and uint8 [112, 112, 3], RGB."""

    chips: np.ndarray
    aligned: np.ndarray


def face_chips(picture: np.ndarray, points: np.ndarray) -> FaceChips:
    """Both pictures, from uint8 [H, W, 3] RGB and 68 points in its pixels."""
    return FaceChips(face_chip(picture, points), arcface_chip(picture, five_points(points)))


def five_points(points: np.ndarray) -> np.ndarray:
    """Eyes, nose and corners of the mouth, float32 [5, 2], of 68 points [68, 2]."""
    return np.stack(
        [points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]]
    ).astype(np.float32)


def arcface_chip(picture: np.ndarray, five: np.ndarray) -> np.ndarray:
    """uint8 [112, 112, 3] from uint8 [H, W, 3] and five points [5, 2] in its pixels.

    Large faces are averaged down; beyond the picture its border is repeated.
    """
    matrix = similarity(five.astype(np.float64), ARCFACE_POINTS.astype(np.float64))
    return warp(picture, matrix, (ARCFACE_PX, ARCFACE_PX))
