"""What the synchrony model sees and hears, from pictures, points and samples to numbers.

Seen, at 25 fps: lips and jaw in head-fixed coordinates, and a small registered picture of the
mouth. Heard, at 100 Hz: log-mel bands. Both lose their slow part: pose, light and loudness
drift, speech does not.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import uniform_filter1d

from manifests.crops import ANCHORS, CROPS, EYE_DISTANCE_PX, crop, template
from manifests.spectra import centred_power, mel_htk
from stages.networks.lipsync_linear import similarity

HOP, WINDOW, NUM_FFT, NUM_BANDS = 160, 400, 512, 40
MEL_LOW_HZ, MEL_HIGH_HZ = 60.0, 7600.0
MOUTH_POINTS, JAW_POINTS = tuple(range(48, 68)), tuple(range(3, 14))
NUM_LIP_FEATURES = 2 * (len(MOUTH_POINTS) + len(JAW_POINTS))
MOUTH_SHAPE = (CROPS["mouth"].height, CROPS["mouth"].width)
SLOW_FRAMES = 75
"""Window of the moving mean that is taken away, frames."""
_MIRRORED_MOUTH = (6, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 16, 15, 14, 13, 12, 19, 18, 17)
MIRROR = (*_MIRRORED_MOUTH, *(20 + i for i in range(len(JAW_POINTS) - 1, -1, -1)))
"""Order of the 31 points in a mirrored face."""


def lip_features(landmarks: np.ndarray) -> np.ndarray:
    """The fast part of `lip_shape`, float32 [T, 62]."""
    return fast_part(lip_shape(landmarks))


def lip_shape(landmarks: np.ndarray) -> np.ndarray:
    """Points float32 [T, 68, 2], any similarity of the source -> float32 [T, 62].

    Scale and rotation are the run's median ones, so that a jitter of the eyes does not look
    like a mouth that opens; lips are told from their own centre, the jaw from the head's. Unit:
    eye distances of the template.
    """
    target = template().astype(np.float64) / EYE_DISTANCE_PX
    fitted = np.stack([similarity(p[list(ANCHORS)].astype(np.float64), target) for p in landmarks])
    linear = np.median(fitted[:, :, :2], axis=0)
    head = landmarks[:, list(ANCHORS)].mean(1, keepdims=True)
    mouth = (landmarks[:, list(MOUTH_POINTS)] - head) @ linear.T
    jaw = (landmarks[:, list(JAW_POINTS)] - head) @ linear.T
    points = np.concatenate([mouth - mouth.mean(1, keepdims=True), jaw], 1)
    return points.reshape(len(points), -1).astype(np.float32)


def mouth_features(mouths: np.ndarray) -> np.ndarray:
    """Mouth pictures uint8 [T, 40, 48] -> float32 [T, 1920], logarithmic, unit deviation."""
    light = np.log(mouths.reshape(len(mouths), -1).astype(np.float32) + 20)
    light = fast_part(light)
    return light / (light.std() + 0.02)


def mouths_of_faces(faces: np.ndarray) -> np.ndarray:
    """Canonical frames uint8 [T, 256, 256, 3] -> mouth pictures uint8 [T, 40, 48]."""
    cut = crop(faces, "mouth").astype(np.float32)
    return np.round(cut @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)


def fast_part(values: np.ndarray) -> np.ndarray:
    """[T, ...] less its moving mean over three seconds."""
    return values - uniform_filter1d(values, SLOW_FRAMES, axis=0, mode="nearest")


@cache
def _bank() -> np.ndarray:
    """HTK's triangles, float32 [257, 40]."""
    filters = mel_htk(NUM_BANDS, NUM_FFT, MEL_LOW_HZ, MEL_HIGH_HZ)
    return np.ascontiguousarray(filters.T.astype(np.float32))


def log_mel(signal: np.ndarray, exists: np.ndarray | None = None) -> np.ndarray:
    """Samples at 16 kHz (int16, or float32 in +-1) [N] -> float32 [N // 160, 40] at 100 Hz.

    Row i is centred on i * 10 ms. Each band has zero mean and about unit deviation over the
    rows that `exists` (bool [N // 160]) marks; the others are zero.
    """
    count = len(signal) // HOP
    if count == 0:
        return np.zeros((0, NUM_BANDS), np.float32)
    samples = signal.astype(np.float32) / (32768 if signal.dtype == np.int16 else 1)
    bands = np.log(centred_power(samples, WINDOW, HOP, NUM_FFT) @ _bank() + 1e-7)
    used = np.ones(count, bool) if exists is None else exists[:count]
    if not used.any():
        return np.zeros((count, NUM_BANDS), np.float32)
    bands = (bands - bands[used].mean(0)) / (bands[used].std(0) + 0.3)
    return np.where(used[:, None], bands, 0).astype(np.float32)
