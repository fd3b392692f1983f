"""Speech for the tests: real GRID clips where the reference data is, else made up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from evaluation.audio import decode_sound

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("YLD_SHARED", ROOT.parent / "shared")) / "data"


def grid(name: str = "bbaf2n") -> np.ndarray:
    """Sound of one clip of GRID speaker s1 as its papers decoded it, or skip."""
    path = DATA / "grid_s1" / f"{name}.mpg"
    if not path.exists():
        pytest.skip(f"{path.name} is not here; set YLD_SHARED to the folder with data/")
    return decode_sound(path)


def delayed(sound: np.ndarray, samples: int) -> np.ndarray:
    """`sound` later by `samples`, zeros before it, cut to its length."""
    return np.concatenate([np.zeros(samples, sound.dtype), sound])[: len(sound)]


def speechlike(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Noise with a speech-like spectrum and syllables of random loudness: float32 [N]."""
    rng = np.random.default_rng(seed)
    count = int(seconds * 16000)
    noise = np.convolve(rng.standard_normal(count + 64), np.hanning(9), "valid")[:count]
    knots = rng.uniform(0, 1, int(seconds * 12) + 2) ** 2
    loudness = np.interp(np.arange(count) / 16000 * 12, np.arange(len(knots)), knots)
    sound = noise * loudness
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)
