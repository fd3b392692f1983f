"""HDR pictures as BT.709: a plain global tone map, good enough for faces.

PQ (SMPTE ST 2084) and HLG (ITU-R BT.2100) signals become linear light with reference white at
203 cd/m2 (ITU-R BT.2408), are compressed by an extended Reinhard curve, brought from BT.2020 to
BT.709 primaries and encoded with the BT.709 transfer.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

REFERENCE_WHITE, PEAK = 203.0, 1000.0
PQ = 16
TO_709 = np.array(
    [
        [1.6605, -0.5876, -0.0728],
        [-0.1246, 1.1329, -0.0083],
        [-0.0182, -0.1006, 1.1187],
    ],
    np.float32,
)


@lru_cache(maxsize=2)
def _linear_table(transfer: int) -> np.ndarray:
    """16-bit code -> linear light relative to reference white, float32 [65536]."""
    code = np.linspace(0, 1, 65536)
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = code ** (1 / m2)
        light = (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * 10_000
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        light = scene**1.2 * PEAK
    return (light / REFERENCE_WHITE).astype(np.float32)


@lru_cache(maxsize=1)
def _encode_table() -> np.ndarray:
    light = np.linspace(0, 1, 4096)
    coded = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    return np.round(coded * 255).astype(np.uint8)


def to_sdr(picture: np.ndarray, transfer: int) -> np.ndarray:
    """uint16 [H, W, 3] BT.2020 RGB with `transfer` (16 PQ, 18 HLG) -> uint8 BT.709."""
    light = _linear_table(transfer)[picture]
    white = PEAK / REFERENCE_WHITE
    light = light * (1 + light / white**2) / (1 + light)
    light = np.clip(light @ TO_709.T, 0, 1)
    return _encode_table()[(light * 4095).astype(np.uint16)]
