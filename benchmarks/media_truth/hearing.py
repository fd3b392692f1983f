"""How near one sound is to another: each 200 ms is looked for, to a part of a sample."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from manifests.clock import SAMPLE_RATE

WINDOW, SEARCH = 3200, 800
"""Samples: the length of a mark, and how far it is looked for."""
SILENT = 40.0
"""Level (root mean square, full scale 32767) under which a window is silent."""


@dataclass
class SoundMatch:
    """How near one sound is to another; over all windows."""

    lag_samples: float = 0.0
    correlation: float = 1.0
    level_db: float = 0.0
    num_windows: int = 0
    silences: list[str] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)
    """Of each window: its time in seconds, how many samples it is late."""

    def faults(self, whose: str, slack_samples: float, min_correlation: float) -> list[str]:
        words = [f"{s}, not as {whose}" for s in self.silences]
        if abs(self.lag_samples) > slack_samples:
            words.append(f"sound is {self.lag_samples:+.1f} samples off {whose}")
        if self.correlation < min_correlation:
            words.append(f"sound correlates {self.correlation:.3f} with {whose}")
        return words


def compare_sound(heard: np.ndarray, other: np.ndarray) -> SoundMatch:
    """Look for each 200 ms of `heard` in `other`, float64 [SEARCH + N + SEARCH].

    A window that is not known whole (NaN) is left out, and so is one that is silent in both.
    """
    match = SoundMatch()
    for start in range(0, len(heard) - WINDOW // 2, WINDOW):
        mine = heard[start : start + WINDOW]
        around = other[start : start + len(mine) + 2 * SEARCH]
        wanted = around[SEARCH : SEARCH + len(mine)]
        if np.isnan(wanted).any():
            continue
        around = np.nan_to_num(around)
        level, due = np.sqrt((mine**2).mean()), np.sqrt((wanted**2).mean())
        if level < 2 * SILENT and due < 2 * SILENT:
            continue
        if min(level, due) < SILENT:
            what = "silence" if level < SILENT else "sound"
            match.silences.append(f"{what} at {start / SAMPLE_RATE:.1f} s")
            continue
        lag, correlation = find(mine, around)
        match.num_windows += 1
        match.lags.append((start / SAMPLE_RATE, lag))
        match.lag_samples = max(match.lag_samples, lag, key=abs)
        match.correlation = min(match.correlation, correlation)
        match.level_db = max(match.level_db, abs(20 * np.log10(level / due)))
    return match


def find(mine: np.ndarray, around: np.ndarray) -> tuple[float, float]:
    """How many samples later `mine`, float64 [N], is than its like in the middle of `around`,
    float64 [SEARCH + N + SEARCH]; and how much the two are alike there, 1 at most.

    Whole samples by normalised cross-correlation, below that by a parabola; the likeness is
    taken after moving by the fraction too, for a third of a sample alone costs 4 %.
    """
    energy = np.concatenate([[0.0], np.cumsum(around**2)])
    norm = np.sqrt(energy[len(mine) :] - energy[: -len(mine)]) * np.sqrt((mine**2).sum())
    scores = np.correlate(around, mine, "valid") / np.maximum(norm, 1e-9)
    best, fraction = int(np.argmax(scores)), 0.0
    if 0 < best < len(scores) - 1:
        left, middle, right = scores[best - 1 : best + 2]
        fraction = 0.5 * (left - right) / (left - 2 * middle + right)
    lag = SEARCH - best - fraction
    moved = _moved(around, fraction)[best : best + len(mine)]
    norm = np.sqrt((moved**2).sum() * (mine**2).sum())
    return lag, max(float(scores[best]), float((moved * mine).sum() / max(norm, 1e-9)))


def _moved(signal: np.ndarray, samples_: float) -> np.ndarray:
    """The signal read that much later, by a shift of phase."""
    frequency = np.fft.rfftfreq(len(signal))
    spectrum = np.fft.rfft(signal) * np.exp(2j * np.pi * frequency * samples_)
    return np.fft.irfft(spectrum, len(signal))
