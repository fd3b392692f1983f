"""Head pose from 68 points: a rigid six-point head under weak perspective.

Linear least squares has one answer; perspective solvers flip between two for small faces.
"""

from __future__ import annotations

import numpy as np

POINTS = (30, 8, 36, 45, 48, 54)
HEAD_MM = np.array(
    [
        [0, 0, 0],
        [0, -63.6, -12.5],
        [-43.3, 32.7, -26.0],
        [43.3, 32.7, -26.0],
        [-28.9, -28.9, -24.1],
        [28.9, -28.9, -24.1],
    ],
    np.float64,
)
"""Nose tip, chin, outer eye corners, mouth corners; x right, y up, z to the viewer, in the
picture's sense. An average adult's proportions."""
MAX_FITS = 50
NEUTRAL_PITCH_DEG = 17.0
"""What the rigid head's depths make of a level face: the median over frontal recordings."""


def head_pose(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Median yaw, pitch, roll in degrees of [T, 68, 2] px; (0, 0, 0) for no frames.

    Yaw is positive when the face looks to the picture's right, pitch when it looks up, roll
    clockwise. At most 50 frames, evenly spread, are fitted.
    """
    if not len(landmarks):
        return 0.0, 0.0, 0.0
    chosen = landmarks[
        np.linspace(0, len(landmarks) - 1, min(len(landmarks), MAX_FITS)).astype(int)
    ]
    head = HEAD_MM - HEAD_MM.mean(0)
    inverse = np.linalg.pinv(head)
    angles = []
    for points in chosen[:, list(POINTS)].astype(np.float64):
        flat = (points - points.mean(0)) * [1, -1]
        right, up = (inverse @ flat).T
        scale = max((np.linalg.norm(right) + np.linalg.norm(up)) / 2, 1e-9)
        yaw = np.degrees(np.arcsin(np.clip(right[2] / scale, -1, 1)))
        pitch = np.degrees(np.arcsin(np.clip(up[2] / scale, -1, 1)))
        roll = np.degrees(np.arctan2(right[1], right[0]))
        angles.append((yaw, NEUTRAL_PITCH_DEG - pitch, -roll))
    if not angles:
        return 0.0, 0.0, 0.0
    yaw, pitch, roll = (round(float(v), 1) for v in np.median(angles, axis=0))
    return yaw, pitch, roll
