"""The offset's sign and size on talking faces with known truth, and what must not be measured."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from stages.backends.dlib_faces import Dlib68, DlibHog
from stages.faces.mouths import MouthCropper
from stages.networks import lag_curves
from stages.networks import lipsync_linear as net
from stages.sync.estimators import ESTIMATORS, TrackSignals
from stages.sync.offsets import interpolate, make_windows
from stages.sync.speech import SpeechDetector, share

SECONDS = 8.0


@pytest.fixture(scope="module")
def talk():
    """Landmarks [T, 68, 2] and mouths [T, 40, 48] at 25 fps, and pcm int16 with two seconds of
    rest on each side."""
    from pipeline.demo.portraits import load_portraits, render
    from pipeline.demo.voice import speak

    person = load_portraits()[1]
    speech = speak(SECONDS, 180.0, 1.1, 11)
    landmarker, box, cropper = Dlib68(), None, MouthCropper()
    points, mouths = [], []
    for frame in range(int(SECONDS * 25)):
        picture = render(person, *speech.mouth_at(frame / 25), (0, 0, 0))
        if box is None:
            box = DlibHog().detect([picture])[0][0][:1]
        points.append(landmarker.fit(picture, box)[0])
        mouths += cropper.push(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), points[-1])
    mouths += cropper.finish()
    pcm = (np.pad(speech.pcm, 32000) * 32767).astype(np.int16)
    return np.stack(points), np.stack(mouths), pcm


@pytest.fixture(scope="module", params=["lipsync", "lipsync_linear"])
def estimator(request):
    return ESTIMATORS[request.param]()


def measure(estimator, landmarks, mouths, pcm, first_sample):
    windows = make_windows(len(landmarks), 75, 25)
    signals = TrackSignals(landmarks, mouths, pcm, first_sample)
    curves = [r.curve for r in estimator.readings(signals, windows, 500.0)]
    peak = estimator.peak(lag_curves.pool(curves, [1.0] * len(curves)))
    return peak, lag_curves.confidence(
        peak, lag_curves.Basis(len(landmarks) / 25), estimator.calibration
    )


def test_measured_against_planted_has_slope_one(talk, estimator):
    *seen, pcm = talk
    planted = np.arange(-400, 401, 80)
    # Video late by L: frame t shows what sounded at t - L, so its sound lies L earlier.
    found = [
        measure(estimator, *seen, np.roll(pcm, -round(lag * 16)), 32000)[0].lag_ms
        for lag in planted
    ]
    slope, intercept = np.polyfit(planted, found, 1)
    assert abs(slope - 1) < 0.02, list(zip(planted, found, strict=True))
    assert abs(intercept) < 30


def test_foreign_sound_is_not_measured(talk, estimator):
    *seen, pcm = talk
    random = np.random.default_rng(0)
    noise = (3000 * random.standard_normal(len(pcm))).astype(np.int16)
    tone = (9000 * np.sin(np.arange(len(pcm)) * 0.2)).astype(np.int16)
    limit = estimator.measured_confidence
    own = measure(estimator, *seen, pcm, 32000)[1]
    assert own >= limit
    for name, other in (("noise", noise), ("tone", tone), ("silence", 0 * pcm)):
        assert measure(estimator, *seen, other, 32000)[1] < limit, name


def test_training_judges_the_linear_model_as_the_stage_does(talk):
    points, mouths, pcm = talk
    model, stage = net.LinearModel.load(), ESTIMATORS["lipsync_linear"]()
    staged = measure(stage, points, mouths, pcm, 32000)[0]
    clip = model.clip_peak(points, mouths, pcm[32000 : 32000 + 640 * len(points)], 500.0)
    assert clip.lag_ms == pytest.approx(staged.lag_ms, abs=10)
    assert clip.height == pytest.approx(staged.height, abs=0.05)


def test_weights_survive_saving(tmp_path, talk):
    """Regression: a transposed view was written scrambled."""
    model = net.LinearModel.load()
    odd = dataclasses.replace(model, matrix=np.asfortranarray(model.matrix))
    odd.save(tmp_path / "w.safetensors")
    again = net.LinearModel.load(tmp_path / "w.safetensors")
    assert np.array_equal(again.matrix, model.matrix)


def test_voice_activity_hears_speech_and_nothing_else(talk):
    *_, pcm = talk
    regions = SpeechDetector().regions(pcm)
    frames = len(pcm) // 640
    assert share(regions, 50, frames - 50) > 0.6
    assert share(regions, 0, 40) < 0.2
    assert SpeechDetector().regions(np.zeros(48000, np.int16)) == []


def test_gaps_in_landmarks_are_bridged():
    landmarks = np.tile(np.arange(10, dtype=np.float32)[:, None, None], (1, 68, 2))
    holed = landmarks.copy()
    holed[4:6] = np.nan
    assert np.allclose(interpolate(holed), landmarks)


def test_drift_is_the_trend_of_windows():
    starts = list(range(0, 1500, 25))
    lags = [20 + 30 * s / 25 / 60 for s in starts]
    assert abs(lag_curves.drift_ms_per_min(starts, lags) - 30) < 1e-6
    assert lag_curves.drift_ms_per_min([0, 25], [1.0, 2.0]) is None
    # Seven seconds of windows that scatter by 10 ms say nothing about a minute.
    assert lag_curves.drift_ms_per_min(starts[:7], [0.0, 11, -9, 10, -12, 8, 1]) is None
