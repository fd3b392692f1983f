"""Figures over a set of offsets: Offset-R-squared of Niu and Mak, sections 4.2 and 5.3.

LSE-C, LSE-D and the offsets themselves come from networks in `stages/networks`; the table of
metrics lists them as waiting until those are there.
"""

from __future__ import annotations

import math

import numpy as np


def offset_r2(measured_ms: np.ndarray, predicted_ms: np.ndarray) -> float:
    """Coefficient of determination of predicted against measured offsets, at most 1.

    1 - sum (y - yhat)^2 / sum (y - mean y)^2 over clips, both float [N] in ms, y being the
    other method's (frontend or SyncNet). NaN where y does not vary: there is nothing to explain.
    Predicting 0 for all gives the paper's dagger rows, never above 0.
    """
    measured, predicted = np.asarray(measured_ms, float), np.asarray(predicted_ms, float)
    if measured.shape != predicted.shape or measured.ndim != 1:
        raise ValueError(f"offsets of {predicted.shape} against {measured.shape}")
    spread = float(((measured - measured.mean()) ** 2).sum()) if len(measured) else 0.0
    if spread == 0:
        return math.nan
    return 1 - float(((measured - predicted) ** 2).sum()) / spread
