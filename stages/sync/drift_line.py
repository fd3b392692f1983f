"""Drift of a recording's sound against its pictures: pure functions, no I/O.

A sound recorder with a clock of its own makes the lag a straight line of time. One window says
where that line passes to some 20 ms, one track spans too little of it; all windows of a recording
together give it to a few ppm. The line is therefore sought in the windows' correlation curves and
not in their peaks: sum the curves along the line, and take the line with the highest sum. A window
in which nothing agrees adds a flat curve, so that none has to be thrown out beforehand.

Sign as everywhere: lag > 0 means that the video lags the audio, so a positive drift is a picture
that falls back more and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline

from stages.networks.lag_curves import lag_axis_ms

MAX_PPM = 1500.0
"""Steepest line sought: above the 1000 ppm between 30 and 29.97 frames a second."""
MIN_SPAN_S = 60.0
"""Windows over less time than this say nothing about a clock."""
MIN_WINDOWS = 24
COARSE_MS = 20.0
REACH_MS, FINE_MS = 60.0, 1.0
BINS = 256
BLOCKS = (8, 16, 32)
"""Numbers of blocks of time that are left out in turn; errors are averaged over the three, for
short blocks miss what lasts, and few blocks know their own error badly."""


@dataclass(frozen=True)
class Line:
    """The lag of a recording as a line of time: `lag_ms` at `middle_s`, and its slope."""

    lag_ms: float
    ppm: float
    middle_s: float
    start_s: float
    end_s: float
    error_ppm: float = float("inf")
    """Standard error of the slope, by leaving blocks of time out in turn."""
    lead: float = 0.0
    """By how many standard errors the windows agree better along the line than along the best
    jump between two levels; well below zero it is a jump."""

    def at(self, time_s):
        """Lag in ms at a time of the video, in s."""
        return self.lag_ms + 1e-3 * self.ppm * (time_s - self.middle_s)


def find_line(
    times_s: Sequence[float], curves: Sequence[np.ndarray], weights: Sequence[float], step_ms: float
) -> Line | None:
    """The line of best agreement, or None where the windows span too little.

    `times_s` [N] are the windows' centres, `curves` [N] their curves [M, L] of M voters over lags
    (NaN where nothing was compared), `weights` [N] >= 0.
    """
    used = [i for i, w in enumerate(weights) if w > 0]
    if len(used) < MIN_WINDOWS:
        return None
    times = np.array([times_s[i] for i in used], float)
    order = np.argsort(times, kind="stable")
    times = times[order]
    span = float(times[-1] - times[0])
    if span < MIN_SPAN_S:
        return None
    weight = np.array([weights[i] for i in used], float)[order]
    common = np.stack([np.nan_to_num(np.asarray(curves[i], float).mean(0)) for i in used])[order]
    common *= weight[:, None]
    line = Line(
        0.0, 0.0, float((times * weight).sum() / weight.sum()), float(times[0]), float(times[-1])
    )
    line = _coarse(line, times, common, step_ms)
    lags = lag_axis_ms(common[0], step_ms)
    splines = [CubicSpline(lags, c) for c in common]
    for _ in range(3):
        line = _fine(line, times, splines)[0]
    squares = []
    for count in BLOCKS:
        slopes = _fine(line, times, splines, count)[1]
        squares.append((count - 1) / count * ((slopes - slopes.mean()) ** 2).sum())
    return replace(
        line, error_ppm=float(np.sqrt(np.mean(squares))), lead=_lead_over_jump(line, times, splines)
    )


def aligned(
    curves: Sequence[np.ndarray], times_s: Sequence[float], line: Line, step_ms: float
) -> list[np.ndarray]:
    """Curves [M, L] moved so that the line lies at its middle's lag in each: what pooling needs."""
    made = []
    for time, curve in zip(times_s, curves, strict=True):
        lags = lag_axis_ms(curve[0], step_ms)
        shift = 1e-3 * line.ppm * (time - line.middle_s)
        made.append(np.stack([np.interp(lags + shift, lags, c, np.nan, np.nan) for c in curve]))
    return made


def _coarse(line: Line, times: np.ndarray, common: np.ndarray, step_ms: float) -> Line:
    """The best line on a grid of `COARSE_MS` over the whole span and of whole steps of lag."""
    steps = (common.shape[1] - 1) // 2
    span = line.end_s - line.start_s
    most = min(MAX_PPM, 2e3 * steps * step_ms / span)
    count = int(np.ceil(most * span / 1e3 / COARSE_MS))
    best, found = -np.inf, line
    padded = np.pad(common, ((0, 0), (2 * steps, 2 * steps)))
    rows, columns = np.arange(len(times))[:, None], np.arange(2 * steps + 1)[None]
    for ppm in np.linspace(-most, most, 2 * count + 1):
        shift = np.rint(1e-3 * ppm * (times - line.middle_s) / step_ms).astype(int)
        shift = np.clip(shift, -2 * steps, 2 * steps)
        total = padded[rows, columns + 2 * steps + shift[:, None]].sum(0)
        top = int(total.argmax())
        if total[top] > best:
            best, found = (
                total[top],
                replace(line, ppm=float(ppm), lag_ms=float((top - steps) * step_ms)),
            )
    return found


def _fine(
    line: Line, times: np.ndarray, splines: list[CubicSpline], blocks: int | None = None
) -> tuple[Line, np.ndarray]:
    """The best line within `REACH_MS` of `line` at its ends, and the slope without each block."""
    reach = np.arange(-REACH_MS, REACH_MS + FINE_MS / 2, FINE_MS)
    wide = np.arange(-2 * REACH_MS, 2 * REACH_MS + FINE_MS / 2, FINE_MS)
    # A spline, because straight pieces have their tops on the grid and hold the line there.
    around = np.nan_to_num(
        np.stack(
            [
                spline(line.at(t) + wide, extrapolate=False)
                for t, spline in zip(times, splines, strict=True)
            ]
        )
    )
    half = max(line.middle_s - line.start_s, line.end_s - line.middle_s)
    place = (times - line.start_s) / (line.end_s - line.start_s)
    # Along the line, neighbours can be one: what is sought moves half a millisecond over a bin.
    bins = np.minimum((place * BINS).astype(int), BINS - 1)
    rows = [bins == b for b in np.unique(bins)]
    count = blocks or 1
    sums = np.zeros((count, len(reach), len(reach)))  # rows: slope as ms at the far end
    for row in rows:
        time, curve = times[row].mean(), around[row].sum(0)
        centres = reach[None] + reach[:, None] * (time - line.middle_s) / half
        block = min(int((time - line.start_s) / (line.end_s - line.start_s) * count), count - 1)
        sums[block] += np.interp(centres, wide, curve)
    total = np.sum(sums, 0)

    def best(score: np.ndarray) -> tuple[float, float]:
        row, column = map(int, np.unravel_index(int(score.argmax()), score.shape))
        return (
            reach[row] + FINE_MS * _vertex(score[:, column], row),
            reach[column] + FINE_MS * _vertex(score[row], column),
        )

    tilt, lift = best(total)
    slopes = np.array([1e3 * best(total - s)[0] / half for s in sums]) if blocks else np.empty(0)
    found = replace(line, ppm=float(line.ppm + 1e3 * tilt / half), lag_ms=float(line.lag_ms + lift))
    return found, slopes


def _lead_over_jump(line: Line, times: np.ndarray, splines: list[CubicSpline]) -> float:
    """`Line.lead`: the best jump at any time, from any level to any other."""
    half = max(abs(line.at(line.start_s) - line.lag_ms), abs(line.at(line.end_s) - line.lag_ms))
    lags = np.arange(-half - REACH_MS, half + REACH_MS + FINE_MS / 2, FINE_MS) + line.lag_ms
    along = np.nan_to_num(
        [
            float(spline(line.at(t), extrapolate=False))
            for t, spline in zip(times, splines, strict=True)
        ]
    )
    levels = np.nan_to_num([s(lags, extrapolate=False) for s in splines])
    before = np.cumsum(levels, 0)
    after = before[-1] - before
    turn = int((before.max(1) + after.max(1)).argmax())
    jump = np.where(
        np.arange(len(times)) <= turn,
        levels[:, before[turn].argmax()],
        levels[:, after[turn].argmax()],
    )
    place = (times - line.start_s) / (line.end_s - line.start_s)
    blocks = np.minimum((place * BLOCKS[-1]).astype(int), BLOCKS[-1] - 1)
    gains = np.array([(along - jump)[blocks == b].sum() for b in range(BLOCKS[-1])])
    return float(gains.sum() / max(gains.std() * np.sqrt(len(gains)), 1e-9))


def _vertex(values: np.ndarray, top: int) -> float:
    """Where a parabola through three points has its top, in steps from the middle one."""
    if not 0 < top < len(values) - 1:
        return 0.0
    left, middle, right = values[top - 1 : top + 2]
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0
