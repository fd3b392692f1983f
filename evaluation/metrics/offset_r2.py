"""Offset-R-squared over a test set: do two ways to measure the offsets agree (Niu and Mak, 5.3)?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from evaluation.metrics.sync import offset_r2
from evaluation.records import Score

FRONTEND = "frontend"
BY_METRIC = ("lm-offset", "av-offset")


def agreement(rows: Sequence[Score]) -> list[dict[str, Any]]:
    """R-squared of each way's offsets against each other's, over utterances that both measured.

    Ways are the alignment frontend's shift (> 0: the hypothesis was early, so the picture is
    late, as everywhere) and the offset metrics. `r2` is null with a reason where fewer than
    three utterances have both, or the measured offsets do not vary.
    """
    ways: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.metric in BY_METRIC and row.value is not None:
            ways.setdefault(row.metric, {})[row.utterance] = row.value
        elif row.metric.startswith("a-") and row.status == "ok" and row.shift_ms is not None:
            ways.setdefault(FRONTEND, {})[row.utterance] = float(row.shift_ms)
    found = []
    for measured, predicted in permutations(ways, 2):
        both = sorted(ways[measured].keys() & ways[predicted].keys())
        y, guess = (np.array([ways[w][u] for u in both]) for w in (measured, predicted))
        r2 = offset_r2(y, guess) if len(both) >= 3 else math.nan
        reason = (
            None
            if math.isfinite(r2)
            else (
                "fewer than three utterances"
                if len(both) < 3
                else "the measured offsets do not vary"
            )
        )
        found.append(
            {
                "measured_by": measured,
                "predicted_by": predicted,
                "n": len(both),
                "r2": None if reason else r2,
                "reason": reason,
            }
        )
    return found
