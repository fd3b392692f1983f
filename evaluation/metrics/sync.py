"""Lips against sound: SyncNet's LSE-C, LSE-D and offset, the landmark synchrony model's offset
and confidence, and Offset-R-squared over clips (Niu and Mak, sections 4.2 and 5.3).

Signs as everywhere: an offset > 0 means that the picture comes late.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from evaluation.metrics.errors import NoScore, TooShort, Unavailable
from evaluation.metrics.faces import Face
from evaluation.metrics.signals import within_full_scale
from manifests.clock import SAMPLES_PER_FRAME, seconds_of
from manifests.files import sha256_of
from manifests.weights.cache import ModelFileError, fetch
from stages.networks.lag_curves import MEASURED_FROM, Basis, Peak, confidence

MIN_FRAMES = 25
FRAME_MS = 40.0


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


def lse_c(face: Face, sound: np.ndarray) -> float:
    """SyncNet's confidence: median less least mean distance over +-15 frames. Raises NoScore."""
    return _synchrony(face, sound).confidence


def lse_d(face: Face, sound: np.ndarray) -> float:
    """SyncNet's least mean distance over +-15 frames. Raises NoScore."""
    return _synchrony(face, sound).min_distance


def av_offset(face: Face, sound: np.ndarray) -> float:
    """SyncNet's offset in ms, a multiple of 40. Raises NoScore."""
    found = _synchrony(face, sound)
    if found.is_at_limit:
        raise NoScore("the best offset is the last one searched")
    return found.offset_frames * FRAME_MS


def lm_offset(face: Face, sound: np.ndarray) -> float:
    """Offset in ms by the landmark synchrony model. Raises NoScore where it is undecided."""
    peak, sure = _landmark_sync(face, sound)
    if peak.is_at_limit:
        raise NoScore("the best offset is the last one searched")
    if sure < MEASURED_FROM:
        raise NoScore(
            f"the offset is undecided: its confidence is {sure:.2f}, {MEASURED_FROM} is needed"
        )
    return peak.lag_ms


def lm_confidence(face: Face, sound: np.ndarray) -> float:
    """Probability that `lm_offset` is within 40 ms. Raises NoScore."""
    return _landmark_sync(face, sound)[1]


def lipsync_hash() -> str:
    """SHA-256 of the shipped synchrony weights, 12 digits."""
    from stages.networks import LIPSYNC_WEIGHTS

    return sha256_of(LIPSYNC_WEIGHTS)[:12]


def syncnet_hash() -> str:
    """SHA-256 of SyncNet's file, 12 digits. Raises OSError where it is not to be had."""
    try:
        return sha256_of(fetch("syncnet_v2.model"))[:12]
    except ModelFileError as error:
        raise OSError(str(error)) from error


def _landmark_sync(face: Face, sound: np.ndarray) -> tuple[Peak, float]:
    pcm = _sound_of(face, sound)
    frames = len(pcm) // SAMPLES_PER_FRAME
    if frames < MIN_FRAMES:
        raise TooShort(f"{frames} frames of face and sound; {MIN_FRAMES} are needed")
    model = _lipsync()
    peak = model.clip_peak(face.landmarks[:frames], face.mouths[:frames], pcm)
    if peak is None:
        raise NoScore("nothing to compare: still lips or silence")
    return peak, confidence(peak, Basis(seconds_of(frames)), model.calibration)


def _synchrony(face: Face, sound: np.ndarray):
    if face.crops is None:
        raise NoScore("the face was found without SyncNet's crops")
    pcm = _sound_of(face, sound)
    if len(pcm) < 6 * SAMPLES_PER_FRAME:
        raise TooShort("at least 6 frames and their sound are needed")
    return _syncnet().measure(face.crops, pcm)


def _sound_of(face: Face, sound: np.ndarray) -> np.ndarray:
    """int16 [640 n] from the face's first frame to the end of face or sound."""
    start = face.start_frame * SAMPLES_PER_FRAME
    part = within_full_scale(sound)[start : start + len(face.landmarks) * SAMPLES_PER_FRAME]
    part = part[: len(part) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]
    return np.round(np.clip(part, -1, 1) * 32767).astype(np.int16)


@cache
def _lipsync():
    from stages.networks.lipsync import LipSync

    return LipSync.load()


@cache
def _syncnet():
    from stages.networks.syncnet import SyncNet

    try:
        return SyncNet.load(fetch("syncnet_v2.model"))
    except ModelFileError as error:
        raise Unavailable(str(error)) from error
