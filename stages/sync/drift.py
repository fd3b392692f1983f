"""The drift of a recording, from the windows of all its tracks (`drift_line` has the search).

A drift is told where it is known; it counts as one where it is larger than its error and moves
the sound by something that matters; and only a straight line is a drift: a recording whose sound
jumps in the middle must not be stretched.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manifests.clock import seconds_of
from manifests.numbers import signed_ms
from stages.networks import lag_curves as off
from stages.sync.drift_line import Line, aligned, find_line
from stages.sync.offsets import Judged, Sync, concurrent
from stages.sync.together import common_basis

KNOWN_MS = 20.0
"""A slope is known if twice its standard error is at most this much at either end."""
MATTERS_MS = 20.0
"""What a slope must move the sound by over the whole recording to count as a drift."""
SIGNIFICANT = 3.0
"""And by how many standard errors it must differ from none."""
STRAIGHT_MS = 60.0
"""Farthest that a part of the recording may lie off the line. Speakers who follow each other may:
the estimator's zero is up to some 40 ms off for one."""
JUMP = -2.0
"""Standard errors by which a jump must fit better than the line (`Line.lead`): real lines had -0.7
and more, jumps of 40 ms and more -3 and less."""
MOST_PARTS, PART_S = 8, 30.0
"""A recording has as many parts as are at least so long: short ones err by more than a frame."""


def drift_of(sync: Sync, judged: list[Judged]) -> dict[str, Any]:
    """The fields that `Measured` adds to an Offset, from all tracks of a video."""
    times, curves, weights = _windows(judged)
    line = find_line(times, curves, weights, sync.estimator.step_ms)
    if line is None:
        return {"drift_reason": "too little speech of a visible face, over too short a time"}
    level = aligned(curves, times, line, sync.estimator.step_ms)
    at_s = np.array(times)
    rhythm = common_basis(judged).rhythm

    def basis_of(seconds: float, numbers: np.ndarray) -> off.Basis:
        """Of some of the windows, which last so long together."""
        talks = float(np.mean([weights[i] for i in numbers])) if len(numbers) else 0.0
        return off.Basis(seconds, talks * seconds, rhythm)

    def peak_of(low: float, high: float) -> off.Peak | None:
        """The common peak of the windows between two times, if it counts as measured."""
        inside = np.flatnonzero((at_s >= low) & (at_s <= high))
        pooled = off.pool([level[i] for i in inside], [weights[i] for i in inside])
        found = None if pooled is None else sync.estimator.peak(pooled)
        spoken = seconds_of(sum(weights[i] > 0 for i in inside) * sync.config.hop_frames)
        return found if sync.is_sure(found, basis_of(spoken, inside)) else None

    whole = peak_of(line.start_s, line.end_s)
    if whole is None:
        return {"drift_reason": "face and voice do not agree along any line"}
    span = line.end_s - line.start_s
    count = int(np.clip(span // PART_S, 2, MOST_PARTS))
    edges = np.linspace(line.start_s, line.end_s, count + 1)
    parts = [peak_of(low, high) for low, high in zip(edges, edges[1:], strict=False)]
    off_ms = [p.lag_ms - whole.lag_ms for p in parts if p is not None]
    first, last = (
        peak_of(line.start_s, line.start_s + span / 4),
        peak_of(line.end_s - span / 4, line.end_s),
    )
    slope = 1e-3 * line.ppm  # ms per s
    sure = sync.confidence(whole, basis_of(span, np.arange(len(weights))))
    status, reason = verdict(line, off_ms, count)
    return {
        "drift_status": status,
        "drift_reason": reason,
        "drift_ppm": round(line.ppm, 2),
        "drift_error_ppm": round(line.error_ppm, 2),
        "drift_confidence": None if sure is None else round(sure, 4),
        "zero_lag_ms": round(whole.lag_ms - slope * line.middle_s, 2),
        "start_lag_ms": None
        if first is None
        else round(first.lag_ms + slope * (line.start_s - line.middle_s), 1),
        "end_lag_ms": None
        if last is None
        else round(last.lag_ms + slope * (line.end_s - line.middle_s), 1),
    }


def verdict(line: Line, off_ms: list[float], parts: int) -> tuple[str, str | None]:
    """Status and reason of a line, from how far off it those of its `parts` lie that can be
    measured."""
    if len(off_ms) < parts / 2:
        return "unknown", f"only {len(off_ms)} of {parts} parts of the recording can be measured"
    span = line.end_s - line.start_s
    moved = abs(line.ppm) * 1e-3 * span
    drifts = moved >= MATTERS_MS and abs(line.ppm) >= SIGNIFICANT * line.error_ppm
    farthest = max(off_ms, key=abs)
    if abs(farthest) > STRAIGHT_MS:
        return "uneven", (
            f"a part lies {signed_ms(farthest)} off the straight line, "
            f"{STRAIGHT_MS:.0f} are allowed: the sound jumps, which no clock does"
        )
    if drifts and line.lead < JUMP:
        return "uneven", (
            "one jump between two lags fits better than a straight line: the sound "
            "jumps, which no clock does"
        )
    known = 2 * line.error_ppm * 1e-3 * span / 2
    if known > KNOWN_MS:
        return "unknown", (
            f"known to {line.error_ppm:.0f} ppm: {known:.0f} ms at either end, "
            f"{KNOWN_MS:.0f} are allowed"
        )
    return ("drifts" if drifts else "steady"), None


def _windows(judged: list[Judged]) -> tuple[list[float], list[np.ndarray], list[float]]:
    """Centres in s on the video's clock, curves and weights; of faces in view together only the
    one that goes best with the sound."""
    height = {id(j): j.peak.height for j in judged if j.peak is not None}
    times, curves, weights = [], [], []
    for item in judged:
        own = height.get(id(item))
        if own is None or any(
            concurrent(item.track, o.track) and height.get(id(o), -1.0) > own
            for o in judged
            if o is not item
        ):
            continue
        for (start, end), curve, weight in zip(
            item.windows, item.curves, item.weights, strict=True
        ):
            times.append(seconds_of(item.track.start_frame + (start + end) / 2))
            curves.append(curve)
            weights.append(weight)
    return times, curves, weights
