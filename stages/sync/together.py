"""A recording has one chain: undecided tracks take the lag that the others of their video share.

Nothing is taken where the measured tracks of a video disagree, as in a programme cut from several
recordings, nor where a track's own curve speaks against the lag. An inherited lag is told by
`offset_scope: video`; its confidence is that of the others' windows pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from manifests.records import Offset
from stages.networks import lag_curves as off

if TYPE_CHECKING:
    from stages.sync.offsets import Judged, Sync

AGREE_MS = 40.0
"""How far measured tracks may lie from their median and still share a chain."""
LEAST_DONORS = 2
ODD_ONES = 20
"""One measured track in so many may lie off: the estimator errs in a few of a hundred."""
CONTRADICTS = 0.4
"""Confidence from which an undecided track's own peak, elsewhere, stands against the others'."""

Row = TypeVar("Row", bound=Offset)


def agree(lags_ms: Sequence[float]) -> bool:
    """Whether measured lags are of one chain: at least two, all but one in twenty within a frame
    of their median."""
    if len(lags_ms) < LEAST_DONORS:
        return False
    far = np.abs(np.array(lags_ms) - np.median(lags_ms)) > AGREE_MS
    return int(far.sum()) <= len(lags_ms) // ODD_ONES


def contradicts(sync: Sync, item: Judged, lag_ms: float) -> bool:
    """Whether a track's own curve speaks against a lag: it has a peak elsewhere that is half
    believed, or less at the lag than at most others. Without a curve nothing is said."""
    pooled = off.pool(item.curves, item.weights)
    if item.peak is None or pooled is None:
        return False
    sure = sync.confidence(item.peak, item.basis) or 0.0
    if abs(item.peak.lag_ms - lag_ms) > AGREE_MS and sure >= CONTRADICTS:
        return True
    curve = pooled.mean(0)
    near = np.abs(off.lag_axis_ms(curve, sync.estimator.step_ms) - lag_ms) <= AGREE_MS
    known = ~np.isnan(curve)
    return not (near & known).any() or bool(curve[near & known].max() < np.median(curve[known]))


def common_basis(items: Sequence[Judged]) -> off.Basis:
    """What the windows of all these tracks, pooled, are taken from."""
    bases = [item.basis for item in items]
    told = [(b.rhythm, b.seconds) for b in bases if b.rhythm is not None and b.seconds > 0]
    return off.Basis(
        sum(b.seconds for b in bases),
        sum(b.speech_s or 0.0 for b in bases),
        sum(r * s for r, s in told) / sum(s for _, s in told) if told else None,
    )


def inherited(sync: Sync, judged: Sequence[Judged], rows: Sequence[Row]) -> list[Row]:
    """The rows of one video's tracks, those that are undecided with the lag of the others where
    these agree. `judged` belong to `rows`, one each."""
    givers = [
        (item, row)
        for item, row in zip(judged, rows, strict=True)
        if row.offset_status == "measured" and row.video_lag_ms is not None
    ]
    if not agree([row.video_lag_ms or 0.0 for _, row in givers]):
        return list(rows)
    curves = [c for item, _ in givers for c in item.curves]
    weights = [w for item, _ in givers for w in item.weights]
    pooled = off.pool(curves, weights)
    peak = None if pooled is None else sync.estimator.peak(pooled)
    basis = common_basis([item for item, _ in givers])
    middle = float(np.median([row.video_lag_ms or 0.0 for _, row in givers]))
    if peak is None or not sync.is_sure(peak, basis) or abs(peak.lag_ms - middle) > AGREE_MS:
        return list(rows)
    lag_ms, sure = round(peak.lag_ms, 1), sync.confidence(peak, basis)
    return [
        replace(
            row,
            offset_scope="video",
            offset_status="measured",
            video_lag_ms=lag_ms,
            confidence=None if sure is None else round(sure, 4),
            reason=None,
        )
        if row.offset_status == "undecided"
        and item.lip_motion >= sync.config.min_lip_motion
        and not contradicts(sync, item, lag_ms)
        else row
        for item, row in zip(judged, rows, strict=True)
    ]
