"""Registration: each frame's face brought to the canonical template by a similarity transform.

The transform comes from eyes and nose alone (never the mouth) and is smoothed over time, so
that the face stands still and only speech moves. Scale, rotation and shift, no shear: the
shape of the face is kept.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.signal import savgol_filter

from manifests.crops import ANCHORS, CANVAS_PX, template
from stages.networks.lipsync_linear import similarity

SMOOTH_FRAMES = 9


def transforms(landmarks: np.ndarray) -> np.ndarray:
    """Source-pixel landmarks float32 [T, 68, 2] -> canonical transforms float64 [T, 2, 3].

    Smoothed by a quadratic Savitzky-Golay filter (zero phase) over 9 frames.
    """
    target = template()
    fitted = np.stack([similarity(p[list(ANCHORS)].astype(np.float64), target) for p in landmarks])
    if len(fitted) >= SMOOTH_FRAMES:
        # Scale and rotation first, then the shift that keeps the anchors' centre in place.
        linear = savgol_filter(fitted[:, :, :2], SMOOTH_FRAMES, 2, axis=0, mode="interp")
        centre = landmarks[:, list(ANCHORS)].mean(1)
        centre = savgol_filter(centre, SMOOTH_FRAMES, 2, axis=0, mode="interp")
        shift = target.mean(0) - np.einsum("tij,tj->ti", linear, centre)
        fitted = np.concatenate([linear, shift[:, :, None]], 2)
    return fitted


def apply(matrices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """[T, 2, 3] on [T, P, 2] -> canonical pixels float32 [T, P, 2]."""
    moved = np.einsum("tij,tpj->tpi", matrices[:, :, :2], landmarks) + matrices[:, None, :, 2]
    return moved.astype(np.float32)


def residual_px(canonical: np.ndarray) -> float:
    """RMS distance of the anchors to the template over a clip, canonical pixels."""
    gap = canonical[:, list(ANCHORS)] - template()[None]
    return float(np.sqrt((gap**2).sum(2).mean()))


CHROMA_AT = np.array([0.0, 0.5])
"""Where H.264 puts a colour sample of 4:2:0 among the four of brightness, px from the first."""


def warp_planes(
    planes: tuple[np.ndarray, np.ndarray, np.ndarray],
    matrix: np.ndarray,
    to_bt709: np.ndarray | None = None,
) -> np.ndarray:
    """Planes of 4:2:0 (`manifests.media.pictures.Picture.planes`) and [2, 3] -> the canonical
    picture as planes one below the other, uint8 [384, 256], as `yuv420p` lies in memory.

    Two times fewer samples than by RGB, and no conversion to it and back. `to_bt709` float32
    [3, 4] is applied where the colours are others.
    """
    linear, shift = matrix[:, :2], matrix[:, 2]
    # Both grids of colours lie alike among those of brightness: d = L s + (L o + t - o) / 2.
    colours = np.c_[linear, (linear @ CHROMA_AT + shift - CHROMA_AT) / 2]
    half = (CANVAS_PX // 2, CANVAS_PX // 2)
    light = warp(planes[0], matrix)
    blue, red = (warp(plane, colours, half) for plane in planes[1:])
    if to_bt709 is not None:
        wide = [light, *(cv2.resize(p, (CANVAS_PX, CANVAS_PX)) for p in (blue, red))]
        light = cv2.transform(cv2.merge(wide), to_bt709[:1])
        low = cv2.resize(wide[0], half, interpolation=cv2.INTER_AREA)
        blue, red = cv2.split(cv2.transform(cv2.merge([low, blue, red]), to_bt709[1:]))
    chroma = np.concatenate([blue.reshape(-1, CANVAS_PX), red.reshape(-1, CANVAS_PX)])
    return np.concatenate([light, chroma])


def warp(
    picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int] = (CANVAS_PX, CANVAS_PX)
) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3] and [2, 3] -> uint8 of `size` (width, height), canonical.

    Large faces are averaged down by a whole factor first: bilinear sampling alone would skip
    pixels. Beyond the picture its border is repeated.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    factor = max(1, int(0.75 / scale)) if scale > 0 else 1
    if factor > 1:
        corners = np.array([[0, 0], [size[0], 0], [0, size[1]], [size[0], size[1]]])
        inverse = cv2.invertAffineTransform(matrix)
        seen = corners @ inverse[:, :2].T + inverse[:, 2]
        height, width = picture.shape[:2]
        low = np.clip(np.floor(seen.min(0) - factor), 0, [width - factor, height - factor])
        high = np.clip(np.ceil(seen.max(0) + factor), low + factor, [width, height])
        small = ((high - low) // factor).astype(int)
        low = low.astype(int)
        region = picture[low[1] : low[1] + small[1] * factor, low[0] : low[0] + small[0] * factor]
        picture = cv2.resize(region, tuple(int(v) for v in small), interpolation=cv2.INTER_AREA)
        # Pixel centres: small x = (large x - low + 0.5) / factor - 0.5.
        shift = matrix[:, :2] @ (low + (factor - 1) / 2)
        matrix = np.concatenate([matrix[:, :2] * factor, (matrix[:, 2] + shift)[:, None]], 1)
    return cv2.warpAffine(
        picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
