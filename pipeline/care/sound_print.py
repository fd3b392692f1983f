"""Audio fingerprints: which two recordings are one, however they were coded.

32 bits every 10 ms of 0.37 s of sound: the signs of the differences of neighbouring bands'
energies from frame to frame, in 33 bands from 300 to 2000 Hz (Haitsma and Kalker 2002, "A highly
robust audio fingerprinting system", sections 4.2 and 4.4; there 11.6 ms, here a quarter of a
picture). Equal words, also with one of the weakest bits turned, propose pairs and lags; the share
of equal bits over all that overlaps decides, where at least one of the two is loud.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from manifests.spectra import hann, windows

RATE_HZ = 16_000
HOP = 160
WINDOW = 5920
"""0.37 s."""
BANDS = 33
LOW_HZ, HIGH_HZ = 300.0, 2000.0
SAME_BITS = 0.70
"""Least share of equal bits of one recording. The paper has 0.65; different sentences of GRID's
first speaker, which have one rhythm, came to 0.65, copies at 16 kbit/s and more to 0.84
(docs/care.md)."""
MIN_OVERLAP = 50
"""Frames of the fingerprint that are compared at least: 0.87 s of sound."""
LOUD_DB = 30.0
"""Below the loudest frame: what is softer is noise of the room, or of a codec."""
TURNED = 3
"""The weakest bits of a word, each turned in one more question."""
MOST_EQUAL = 64
"""A word that is so frequent tells of no recording: silence, a hum."""
NEAR_LAGS = 3
"""Hops around a proposed lag that are compared too."""


@dataclass(frozen=True)
class Print:
    """`words` uint32 [F], `weak` uint8 [F, 3]: bits nearest to turning, `loud` bool [F]."""

    words: np.ndarray
    weak: np.ndarray
    loud: np.ndarray


@dataclass(frozen=True)
class Agreement:
    """Of two prints: how many hops the second begins after the first, the share of equal bits where
    they overlap, and over how many frames."""

    first: int
    second: int
    lag: int
    bits: float
    frames: int

    @property
    def weight(self) -> float:
        """Equal bits over all that was compared."""
        return self.bits * self.frames


def print_of(sound: np.ndarray) -> Print:
    """The fingerprint of int16 [N] at 16 kHz; without a frame where it is shorter than 0.37 s."""
    count = 1 + (len(sound) - WINDOW) // HOP
    if count < 2:
        return Print(np.zeros(0, np.uint32), np.zeros((0, TURNED), np.uint8), np.zeros(0, bool))
    wave = sound.astype(np.float32) / 32768
    frames = windows(wave, WINDOW, HOP)
    energies = np.empty((count, BANDS), np.float32)
    edges, window = _edges(), hann(WINDOW).astype(np.float32)
    for low in range(0, count, 64):  # a long clip's spectra are not held at a time
        power = np.abs(np.fft.rfft(frames[low : low + 64] * window)) ** 2
        sums = np.add.reduceat(power, edges, axis=1)[:, :BANDS]
        energies[low : low + 64] = sums
    steps = energies[:, :-1] - energies[:, 1:]
    changes = steps[1:] - steps[:-1]
    bits = (changes > 0).astype(np.uint32)
    words = (bits << np.arange(BANDS - 1, dtype=np.uint32)).sum(1, dtype=np.uint32)
    # How near a bit is to turning, in the measure of its band: speech has far more below.
    weakness = np.abs(changes) / (energies[1:, :-1] + energies[1:, 1:] + 1e-12)
    weak = np.argsort(weakness, axis=1)[:, :TURNED].astype(np.uint8)
    level = 10 * np.log10(energies[1:].sum(1) + 1e-12)
    return Print(words, weak, level > level.max() - LOUD_DB)


def agreements(prints: Sequence[Print], groups: Sequence[int]) -> list[Agreement]:
    """Pairs of prints that are one recording, once each, `first` below `second`. `groups`: pairs of
    one group are not compared (-1: of none)."""
    best: dict[tuple[int, int], Agreement] = {}
    for one, two, lag in _proposed(prints, np.asarray(groups)):
        found = [compare(prints, one, two, lag + d) for d in range(-NEAR_LAGS, NEAR_LAGS + 1)]
        top = max((f for f in found if f is not None), key=lambda f: f.bits, default=None)
        before = best.get((one, two))
        if top is None or top.bits < SAME_BITS or (before and top.weight <= before.weight):
            continue
        best[one, two] = top
    return [best[pair] for pair in sorted(best)]


def compare(prints: Sequence[Print], one: int, two: int, lag: int) -> Agreement | None:
    """Two prints where the second begins `lag` hops after the first; None where too little of both
    is loud and overlaps."""
    a, b = prints[one], prints[two]
    low, high = max(0, lag), min(len(a.words), len(b.words) + lag)
    if high - low < MIN_OVERLAP:
        return None
    mine, theirs = slice(low, high), slice(low - lag, high - lag)
    loud = a.loud[mine] | b.loud[theirs]
    if int(loud.sum()) < MIN_OVERLAP:
        return None
    differ = np.bitwise_count(a.words[mine][loud] ^ b.words[theirs][loud])
    bits = 1 - float(differ.mean()) / (BANDS - 1)
    return Agreement(one, two, lag, round(bits, 4), int(loud.sum()))


def _proposed(prints: Sequence[Print], groups: np.ndarray) -> list[tuple[int, int, int]]:
    """Pairs and lags at which at least two words are equal."""
    words = np.concatenate([p.words[p.loud] for p in prints]) if prints else np.zeros(0, np.uint32)
    if not len(words):
        return []
    whose = np.repeat(np.arange(len(prints)), [int(p.loud.sum()) for p in prints])
    frame = np.concatenate([np.flatnonzero(p.loud) for p in prints])
    weak = np.concatenate([p.weak[p.loud] for p in prints])
    order = np.argsort(words, kind="stable")
    there = words[order]
    votes: list[np.ndarray] = []
    for turned in range(TURNED + 1):
        asked = words if not turned else words ^ (np.uint32(1) << weak[:, turned - 1].astype("u4"))
        low, high = np.searchsorted(there, asked), np.searchsorted(there, asked, side="right")
        counts = np.where(high - low <= MOST_EQUAL, high - low, 0)
        mine = np.repeat(np.arange(len(words)), counts)
        starts = np.repeat(low - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        other = order[starts + np.arange(len(mine))]
        a, b = whose[mine], whose[other]
        lag = frame[mine] - frame[other]
        swap = a > b
        a, b, lag = np.where(swap, b, a), np.where(swap, a, b), np.where(swap, -lag, lag)
        keep = (a != b) & ((groups[a] != groups[b]) | (groups[a] < 0))
        votes.append(np.stack([a[keep], b[keep], lag[keep]], 1))
    found, count = np.unique(np.concatenate(votes), axis=0, return_counts=True)
    return [(int(a), int(b), int(lag)) for a, b, lag in found[count >= 2]]


@cache
def _edges() -> np.ndarray:
    """First bins of the bands, and of what lies above the last."""
    hz = np.geomspace(LOW_HZ, HIGH_HZ, BANDS + 1)
    return np.round(hz * WINDOW / RATE_HZ).astype(np.int64)
