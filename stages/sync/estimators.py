"""Estimators of the audio-visual offset, by name.

An estimator gives a curve over lags for each window of a track; `stages.sync.offsets` pools windows
and judges. Votes of several networks stay apart until the peak is read, because where they
disagree the offset is not to be trusted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME
from manifests.files import sha256_of
from stages.backends.weights import weights
from stages.base import SetupError
from stages.networks import LIPSYNC_WEIGHTS, lipsync_linear
from stages.networks.lag_curves import MEASURED_FROM, Peak, Reading, find_peak, rhythm

SPAN_FRAMES = 1500
"""Windows within a minute share one pass of the networks: memory does not grow with a track."""


@dataclass(frozen=True)
class TrackSignals:
    """What was seen of a face and what was heard meanwhile.

    `landmarks` float32 [T, 68, 2] source pixels without NaN, `mouths` uint8 [T, 40, 48]; `pcm`
    int16 at 16 kHz, whose sample `first_sample` (may be negative) belongs to frame 0.
    """

    landmarks: np.ndarray
    mouths: np.ndarray
    pcm: np.ndarray
    first_sample: int
    crops: Callable[[], Iterable[np.ndarray]] | None = None
    """RGB crops uint8 [224, 224, 3] of the T frames as SyncNet expects them, read when asked."""


class OffsetEstimator(Protocol):
    """Agreement of seen and heard speech over lags."""

    name: str
    version: str
    step_ms: float
    measured_confidence: float
    """Confidence from which an offset counts as measured."""

    @property
    def calibration(self) -> np.ndarray | None:
        """Weights of `lag_curves.evidence`; None for an estimator without calibration."""
        ...

    @property
    def min_raw_score(self) -> float | None:
        """Peak height from which an offset counts as measured, where there is no calibration."""
        ...

    def fingerprint(self) -> str: ...

    def readings(
        self, track: TrackSignals, windows: Sequence[tuple[int, int]], search_ms: float
    ) -> list[Reading]:
        """Of each half-open window of frames; its curve is float32 [M, 2 S + 1], M voters."""
        ...

    def peak(self, curve: np.ndarray) -> Peak | None:
        """The lag of a (pooled) curve, bias taken away."""
        ...


class LipSyncLandmarks:
    """The landmark synchrony model, trained by this project and shipped with it."""

    name = "lipsync"
    version = "6"
    step_ms = 10.0
    measured_confidence = MEASURED_FROM
    min_raw_score = None

    @cached_property
    def _model(self):
        from stages.networks.lipsync_inference import LipSyncInference

        if not LIPSYNC_WEIGHTS.exists():
            raise SetupError(f"{LIPSYNC_WEIGHTS} is missing; the checkout is not whole")
        return LipSyncInference.load()

    def fingerprint(self) -> str:
        return sha256_of(LIPSYNC_WEIGHTS) if LIPSYNC_WEIGHTS.exists() else "missing"

    @property
    def calibration(self) -> np.ndarray:
        return self._model.calibration

    def readings(self, track, windows, search_ms):
        made: list[Reading] = []
        while len(made) < len(windows):
            low = windows[len(made)][0]
            group = [w for w in windows[len(made) :] if w[1] <= low + SPAN_FRAMES]
            group = group or [windows[len(made)]]
            made += self._span(track, low, max(b for _, b in group), group, search_ms)
        return made

    def _span(self, track, low, high, windows, search_ms):
        """Readings of the windows between two frames; they follow each other."""
        from stages.networks.lipsync_features import HOP, log_mel

        model = self._model
        seen = model.see(model.seen_features(track.landmarks[low:high], track.mouths[low:high]))
        base = track.first_sample + low * SAMPLES_PER_FRAME
        lead = -(-round(search_ms * 16) // HOP) + 16  # the towers hear 130 ms to either side
        rows = base + HOP * np.arange(-lead, 4 * (high - low) + lead)
        exists = (rows >= 0) & (rows + HOP <= len(track.pcm))
        sound = np.zeros(len(rows) * HOP, np.int16)
        start, end = max(int(rows[0]), 0), min(int(rows[-1]) + HOP, len(track.pcm))
        if end > start:
            sound[start - int(rows[0]) : end - int(rows[0])] = track.pcm[start:end]
        heard = model.hear(log_mel(sound, exists))
        made = []
        for a, b in windows:
            own, start, stop = (
                seen[:, a - low : b - low],
                lead + 4 * (a - low),
                lead + 4 * (b - low),
            )
            curve = model.curves(own, heard, exists, start, search_ms)
            made.append(Reading(curve, rhythm(own, heard[:, start:stop:4])))
        return made

    def peak(self, curve):
        return self._model.peak(curve)


class LipsyncLinear:
    """Canonical correlation of log-mel and lip shape: the first model, kept to compare with."""

    name = "lipsync_linear"
    version = "1"
    step_ms = lipsync_linear.STEP_MS
    measured_confidence = 0.7
    min_raw_score = None

    @cached_property
    def _model(self) -> lipsync_linear.LinearModel:
        if not lipsync_linear.WEIGHTS.exists():
            raise SetupError(f"{lipsync_linear.WEIGHTS} is missing; the checkout is not whole")
        return lipsync_linear.LinearModel.load()

    def fingerprint(self) -> str:
        weights = lipsync_linear.WEIGHTS
        return sha256_of(weights) if weights.exists() else "missing"

    @property
    def calibration(self) -> np.ndarray | None:
        return self._model.calibration

    def readings(self, track, windows, search_ms):
        net, made = lipsync_linear, []
        bias = round(self._model.bias_ms / net.STEP_MS)
        around = round(search_ms * 16) + 16000
        for a, b in windows:
            lips = net.seen(self._model, track.landmarks[a:b])
            low = track.first_sample + a * SAMPLES_PER_FRAME - around
            start = max(low, 0)
            sound = track.pcm[start : max(start, low + 2 * around + (b - a) * SAMPLES_PER_FRAME)]
            expected = net.predict(self._model, sound)
            first = round((low + around - start) / net.HOP)
            curve = net.correlation_curve(lips, expected, first - bias, search_ms)[None]
            made.append(Reading(curve))
        return made

    def peak(self, curve):
        return self._model.peak(curve)


class SyncNetOffsets:
    """SyncNet v2 as published: its raw score is the confidence, 3.0 the threshold of Niu & Mak
    (Fig. 5). The weights are fetched once."""

    name = "syncnet_v2"
    version = "1"
    step_ms = 40.0
    measured_confidence = 1.0
    calibration = None
    min_raw_score = 3.0
    weights_name = "syncnet_v2.model"

    @cached_property
    def _network(self):
        from stages.networks.syncnet import SyncNet

        return SyncNet.load(weights(self.weights_name))

    def fingerprint(self) -> str:
        return self.weights_name

    def readings(self, track, windows, search_ms):
        if track.crops is None:
            raise ValueError("SyncNet needs the source's pictures, which are not at hand here")
        seen = self._network.see(track.crops())
        shift = round(search_ms / self.step_ms)
        low = track.first_sample
        sound = track.pcm[max(low, 0) : max(low + len(track.landmarks) * SAMPLES_PER_FRAME, 0)]
        heard = self._network.hear(np.pad(sound, (max(-low, 0), 0)))
        return [Reading(self._curve(seen[a : b - 5], heard[a : b - 5], shift)) for a, b in windows]

    def _curve(self, seen, heard, shift):
        from stages.networks.syncnet import synchrony

        count = min(len(seen), len(heard))
        if count < 1:
            return np.full((1, 2 * shift + 1), np.nan, np.float32)
        distances = synchrony(seen[:count], heard[:count], shift).distances
        return -distances.mean(0)[None, ::-1]

    def peak(self, curve):
        found = find_peak(curve[0], self.step_ms)
        if found is None:
            return None
        # The published confidence: median less least mean distance over the offsets.
        ordered = np.sort(-curve[0])
        lead = float(ordered[(len(ordered) - 1) // 2] - ordered[0])
        return dataclasses.replace(found, height=lead)


ESTIMATORS: dict[str, type[OffsetEstimator]] = {
    "lipsync": LipSyncLandmarks,
    "lipsync_linear": LipsyncLinear,
    "syncnet_v2": SyncNetOffsets,
}
