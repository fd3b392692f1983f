"""What a clip looks like, in numbers: sharpness and exposure of the face.

They look at one picture a second, the key frames of `face.mp4`, which are read without the frames
between them, and there at what lies between the landmarks, not at what is behind the head.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import av
import numpy as np

from manifests.media.encode import luma_plane
from stages.faces.sharpness import laplacian_variance

BLACK, WHITE = 16, 235
"""Luma of black and white in BT.709 of limited range, which `face.mp4` is in."""
DARK, BRIGHT = 0.05, 0.97
"""Of the way from black to white: below and above it a picture shows nothing of what was there."""


@dataclass(frozen=True)
class Look:
    """Medians over the pictures looked at."""

    sharpness: float
    brightness: float
    dark_share: float
    bright_share: float


def key_pictures(video: bytes) -> dict[int, np.ndarray]:
    """Luma uint8 [256, 256] of the key frames of a clip's `face.mp4`, by frame."""
    found = {}
    with av.open(io.BytesIO(video), "r") as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.skip_frame = "NONE", "NONKEY"
        rate = stream.average_rate
        for picture in container.decode(stream):
            found[round(float(picture.time or 0.0) * float(rate or 0))] = luma_plane(picture).copy()
    return found


def look_of(pictures: dict[int, np.ndarray], landmarks: np.ndarray) -> Look | None:
    """Of luma by frame and landmarks float32 [T, 68, 2] in its pixels; None without pictures."""
    rows = []
    for frame, luma in pictures.items():
        face = _face(luma, landmarks[min(frame, len(landmarks) - 1)])
        light = (face.astype(np.float32) - BLACK) / (WHITE - BLACK)
        rows.append(
            (
                laplacian_variance(face),
                float(np.median(light)),
                float((light < DARK).mean()),
                float((light > BRIGHT).mean()),
            )
        )
    if not rows:
        return None
    sharpness, brightness, dark, bright = (float(v) for v in np.median(rows, axis=0))
    return Look(round(sharpness, 1), round(brightness, 3), round(dark, 3), round(bright, 3))


def _face(luma: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The box around the points, as far as it lies in the picture; at least 8 px wide and high."""
    limit = np.array(luma.shape[::-1])
    low = np.clip(np.floor(points.min(0)).astype(int), 0, limit - 8)
    high = np.clip(np.ceil(points.max(0)).astype(int), low + 8, limit)
    return luma[low[1] : high[1], low[0] : high[0]]
