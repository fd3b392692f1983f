"""Estimators of the audio-visual offset, by name. A stronger one only needs `curves`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from manifests.files import sha256_of
from stages.base import SetupError
from stages.networks import lipsync_linear as net


class OffsetEstimator(Protocol):
    """Correlation of seen and heard speech over lags."""

    name: str
    version: str
    step_ms: float
    measured_confidence: float
    """Confidence from which an offset counts as measured."""

    def fingerprint(self) -> str: ...

    def curves(self, landmarks: np.ndarray, pcm: np.ndarray, first_sample: int,
               windows: Sequence[tuple[int, int]], search_ms: float) -> list[np.ndarray]:
        """A curve float32 [2 S + 1] per window.

        `landmarks` float32 [T, 68, 2] without NaN; `pcm` int16 at 16 kHz, whose sample
        `first_sample` belongs to landmark 0; `windows` half-open frame spans of landmarks.
        """
        ...

    @property
    def calibration(self) -> np.ndarray: ...


@dataclass
class LipsyncLinear:
    """Canonical correlation of log-mel and lip shape, shipped with this project."""

    name = "lipsync_linear"
    version = "1"
    step_ms = net.STEP_MS
    measured_confidence = 0.7

    @cached_property
    def _model(self) -> net.LinearModel:
        if not net.WEIGHTS.exists():
            raise SetupError(f"{net.WEIGHTS} is missing; the checkout is not whole")
        return net.LinearModel.load()

    def fingerprint(self) -> str:
        return sha256_of(net.WEIGHTS) if net.WEIGHTS.exists() else "missing"

    @property
    def calibration(self) -> np.ndarray:
        return self._model.calibration

    def curves(self, landmarks, pcm, first_sample, windows, search_ms):
        lips = net.seen(self._model, landmarks)
        expected = net.predict(self._model, pcm)
        bias = round(self._model.lag_bias_ms / net.STEP_MS)
        start = round(first_sample / net.HOP)
        return [
            net.correlation_curve(lips[a:b], expected, start + 4 * a - bias, search_ms)
            for a, b in windows
        ]


ESTIMATORS = {"lipsync_linear": LipsyncLinear}
