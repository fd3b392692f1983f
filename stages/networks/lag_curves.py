"""From correlation curves to an offset with a status: pure functions, no I/O.

Sign as everywhere: lag > 0 means the video lags the audio (docs/synchrony.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FRAME_ERROR_MS = 40.0
MEASURED_FROM = 0.75
"""Confidence of the landmark synchrony model from which an offset counts as measured."""

LEAST_SPEECH_S = 0.2
"""Added to the seconds of speech before their logarithm is taken: none is not infinitely few."""
MEMORY_FRAMES, LEAST_VARIANCE = 25, 0.05
"""How far apart frames still count as a repetition; and what is taken for no chance at all."""
USUAL_RHYTHM = 0.2
"""Where nobody told."""

DRIFT_ERROR = 20.0
"""Standard error in ms per minute up to which a drift is told."""


@dataclass(frozen=True)
class Peak:
    """The best lag of a curve, refined below the grid step by a parabola."""

    lag_ms: float
    height: float
    margin: float
    """Height over the best value more than 160 ms away."""
    is_at_limit: bool
    mass: float = float("nan")
    """Share of the curve's probability within 40 ms of the peak, where votes were counted."""
    spread_ms: float = float("nan")
    """Mean distance of the single voters' peaks from the common one, cut at 200 ms."""


@dataclass(frozen=True)
class Reading:
    """What an estimator says of one window."""

    curve: np.ndarray
    """Correlation over lags, float32 [voters, L]; NaN where nothing was compared."""
    rhythm: float | None = None
    """See `rhythm`; None where an estimator does not tell."""


@dataclass(frozen=True)
class Basis:
    """What a (pooled) curve was taken from; None where that is not known."""

    seconds: float
    speech_s: float | None = None
    rhythm: float | None = None


def rhythm(seen: np.ndarray, heard: np.ndarray) -> float:
    """How much chance alone makes of a window, for what it repeats: the logarithm of the
    deviation of the correlation at a lag where nothing belongs together, times the root of the
    length (Bartlett's formula for two series that both have a memory, here of `DIM` numbers).

    `seen` and `heard` [voters, T, DIM], frame by frame; float.
    """
    told = []
    for one_seen, one_heard in zip(seen, heard, strict=True):
        length = min(len(one_seen), len(one_heard))
        s, h = _unit(one_seen[:length]), _unit(one_heard[:length])
        total = 0.0
        for late in range(min(length, MEMORY_FRAMES)):
            both = (s[: length - late].T @ s[late:]) * (h[: length - late].T @ h[late:])
            total += float(both.sum()) * (2 if late else 1)
        told.append(0.5 * np.log(max(total, LEAST_VARIANCE)))
    return float(np.mean(told))


def _unit(series: np.ndarray) -> np.ndarray:
    centred = series.astype(np.float64) - series.mean(0)
    return centred / np.sqrt((centred**2).sum() + 1e-6)


def lag_axis_ms(curve: np.ndarray, step_ms: float) -> np.ndarray:
    """Lags of a symmetric curve, in ms."""
    steps = (len(curve) - 1) // 2
    return np.arange(-steps, steps + 1) * step_ms


def find_peak(curve: np.ndarray, step_ms: float) -> Peak | None:
    """The highest point of a correlation curve (NaN where nothing was compared), or None."""
    if np.isnan(curve).all():
        return None
    lags = lag_axis_ms(curve, step_ms)
    best = int(np.nanargmax(curve))
    valid = np.flatnonzero(~np.isnan(curve))
    far = np.abs(lags - lags[best]) > 160
    rest = curve[far & ~np.isnan(curve)]
    margin = float(curve[best] - rest.max()) if len(rest) else 0.0
    shift = 0.0
    if valid[0] < best < valid[-1]:
        left, middle, right = curve[best - 1 : best + 2]
        bend = left - 2 * middle + right
        if bend < 0:
            shift = float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
    return Peak(
        float(lags[best] + shift * step_ms),
        float(curve[best]),
        margin,
        best in (valid[0], valid[-1]),
    )


def find_votes(
    curves: np.ndarray, step_ms: float, temperature: float, shift_ms: float = 0.0
) -> Peak | None:
    """The common peak of several estimators' curves [M, L], with how far they agree.

    `temperature` turns correlation into log-odds, `shift_ms` is added to the lag.
    """
    common = curves.mean(0)
    peak = find_peak(common, step_ms)
    if peak is None:
        return None
    lags = lag_axis_ms(common, step_ms)
    odds = np.where(np.isnan(common), -np.inf, temperature * (common - np.nanmax(common)))
    share = np.exp(odds)
    mass = float(share[np.abs(lags - peak.lag_ms) <= FRAME_ERROR_MS].sum() / share.sum())
    singles = [p.lag_ms for p in (find_peak(c, step_ms) for c in curves) if p is not None]
    spread = float(np.mean(np.minimum(np.abs(np.array(singles) - peak.lag_ms), 200.0)))
    return Peak(peak.lag_ms + shift_ms, peak.height, peak.margin, peak.is_at_limit, mass, spread)


def pool(curves: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray | None:
    """Weighted mean of windows' curves [..., L], point by point; None if there is nothing."""
    if not len(curves) or sum(weights) <= 0:
        return None
    stack = np.stack(curves)
    weight = np.asarray(weights, float).reshape(-1, *(1,) * (stack.ndim - 1))
    present = ~np.isnan(stack)
    total = (weight * present).sum(0)
    with np.errstate(invalid="ignore"):
        mean = np.where(present, stack * weight, 0).sum(0) / total
    return np.where(total > 0.5 * weight.sum(), mean, np.nan)


def evidence(peak: Peak, basis: Basis) -> np.ndarray:
    """What confidence is made of, float64 [20] (or [4] where no votes were counted): the peak's
    numbers, how much of the length is speech (all of it where that is not known) and how much it
    repeats itself, and their products with each other and with the logarithm of the length, since
    a height of long speech says more than the same of short."""
    plain = [peak.height, peak.margin, np.log(np.clip(basis.seconds, 0.5, 30.0)), 1.0]
    if np.isnan(peak.mass):
        return np.array(plain)
    odds = np.log(np.clip(peak.mass, 1e-3, 0.9999) / (1 - np.clip(peak.mass, 1e-3, 0.9999)))
    spread = peak.spread_ms / 200
    alone = [odds, spread, np.sqrt(spread), float(peak.is_at_limit)]
    height, margin, length, _ = plain
    together = [height * length, height**2, margin * height, margin * length, odds * length]
    spoken_s = basis.seconds if basis.speech_s is None else basis.speech_s
    speech = np.log(np.clip(spoken_s, 0.0, 30.0) + LEAST_SPEECH_S)
    rhythm_ = USUAL_RHYTHM if basis.rhythm is None else basis.rhythm
    more = [part * x for part in (speech, rhythm_) for x in (1.0, height, length)]
    return np.array([*plain, *alone, *together, length**2, *more])


def confidence(peak: Peak, basis: Basis, calibration: np.ndarray) -> float:
    """Probability that the error is within 40 ms, by a logistic fitted on held-out speakers.
    Weights of an older file may be fewer: those of the first of `evidence`."""
    odds = float(evidence(peak, basis)[: len(calibration)] @ calibration)
    return 1 / (1 + float(np.exp(-odds)))


def drift_ms_per_min(
    starts_frame: Sequence[int], lags_ms: Sequence[float | None], rate: float = 25.0
) -> float | None:
    """Trend of the windows' lags (Theil-Sen).

    None with fewer than five measured windows, and where the windows scatter so much, or span so
    little, that the trend's standard error is above `DRIFT_ERROR`.
    """
    points = [
        (s / rate / 60, lag)
        for s, lag in zip(starts_frame, lags_ms, strict=True)
        if lag is not None
    ]
    if len(points) < 5:
        return None
    slopes = [
        (b[1] - a[1]) / (b[0] - a[0])
        for i, a in enumerate(points)
        for b in points[i + 1 :]
        if b[0] > a[0]
    ]
    slope = float(np.median(slopes))
    times, lags = np.array(points).T
    residual = lags - slope * times
    scatter = 1.4826 * np.median(np.abs(residual - np.median(residual)))
    # Windows of 3 s every second share two thirds of what they see.
    error = scatter * np.sqrt(3) / (np.sqrt(len(points)) * times.std())
    return slope if error <= DRIFT_ERROR else None
