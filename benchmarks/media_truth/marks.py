"""A sound in which every sample's place is known: speech over chirps that never repeat.

Each 200 ms has a chirp of its own between 350 and 3000 Hz, drawn from the track's seed. It is
an analytic function of time, so that it can be sampled at any rate from any instant, and what
a codec makes of it can be found again to a fraction of a sample. All of it lies below 3.4 kHz,
so that telephone codecs carry it too.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.signal import firwin, resample_poly

from pipeline.demo.voice import RATE, Speech, speak

FIRST_S, LAST_S = -2.0, 12.0
CHIRP_S = 0.2
EDGE_S = 0.004
LOW_HZ, HIGH_HZ = (350.0, 1200.0), (1900.0, 3000.0)
"""A chirp goes from one to the other: a tone that hardly moves would fit in many places."""
CHIRP_LEVEL, VOICE_LEVEL = 0.30, 0.25
UP = 6


@cache
def spoken() -> Speech:
    """The speech of the clip; time 0 of the clip is its beginning."""
    return speak(LAST_S, 205.0, 1.12, 11)


@cache
def _voice() -> np.ndarray:
    """The speech below 3.4 kHz at 96 kHz, peak 1."""
    fine = resample_poly(spoken().pcm.astype(np.float64), UP, 1)
    low = firwin(1201, 3300.0, fs=RATE * UP)
    fine = np.convolve(fine, low, mode="same")
    return fine / np.abs(fine).max()


@cache
def _chirps(seed: int) -> np.ndarray:
    """First and last frequency in Hz of each chirp: float64 [N, 2]."""
    random = np.random.default_rng([7, seed])
    count = round((LAST_S - FIRST_S) / CHIRP_S) + 1
    ends = np.stack([random.uniform(*LOW_HZ, count), random.uniform(*HIGH_HZ, count)], 1)
    return random.permuted(ends, axis=1)


def sound_at(time_s: np.ndarray, seed: int = 0) -> np.ndarray:
    """The sound of track `seed` at each time of the clip: float64 [N], below 0.6."""
    place = (time_s - FIRST_S) / CHIRP_S
    index = np.clip(np.floor(place).astype(int), 0, len(_chirps(seed)) - 1)
    inside = (place - index) * CHIRP_S
    first, last = _chirps(seed)[index].T
    phase = 2 * np.pi * (first * inside + (last - first) * inside**2 / (2 * CHIRP_S))
    edge = np.clip(np.minimum(inside, CHIRP_S - inside) / EDGE_S, 0, 1)
    chirp = np.sin(phase) * np.sin(np.pi / 2 * edge) ** 2
    voice = np.interp(time_s * RATE * UP, np.arange(len(_voice())), _voice(), 0.0, 0.0)
    return CHIRP_LEVEL * chirp + VOICE_LEVEL * voice


def samples(start_s: float, count: int, rate_hz: int, seed: int = 0) -> np.ndarray:
    """`count` samples at `rate_hz` from `start_s` of the clip on: float64 [N]."""
    return sound_at(start_s + np.arange(count) / rate_hz, seed)
