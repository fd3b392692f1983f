"""A recording whose sound ran on another clock is found, told with its error, and retimed."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.audit import recordings
from stages.networks import lag_curves as off
from stages.sync.correct import retimed
from stages.sync.drift import drift_of
from stages.sync.drift_line import find_line

RATE, STEP_MS, LENGTH_S = 16000, 10.0, 600


class Estimator:
    """The peaks of curves as the real ones find them."""

    step_ms = STEP_MS

    def peak(self, curve):
        return off.find_peak(curve.mean(0), STEP_MS)


class Judge:
    """What `drift_of` asks of `stages.sync.offsets.Sync`."""

    estimator, config = Estimator(), SimpleNamespace(hop_frames=25)

    def is_sure(self, peak, basis):
        return peak is not None and peak.height > 0.15

    def confidence(self, peak, basis):
        return 0.9


def recording(lag_of, seconds=LENGTH_S, seed=0, tracks=20, scatter_ms=10.0, foreign=0.3):
    """Tracks of 3 s windows each second: blurred peaks that scatter about `lag_of` (s -> ms), some
    where nothing agrees, breaks between tracks, noise in every curve; so much of each that ten
    minutes tell a slope to 4 ppm, as those of 140 sentences of GRID do."""
    random = np.random.default_rng(seed)
    lags = off.lag_axis_ms(np.zeros(141), STEP_MS)
    made, edges = [], np.linspace(0, seconds, tracks + 1)
    for begin, end in zip(edges, edges[1:], strict=False):
        starts = np.arange(0, end - begin - 5, 1.0)
        curves = []
        for start in starts:
            at = lag_of(begin + start + 1.5) + random.normal(0, scatter_ms)
            peak = 0.5 * (random.random() > foreign) * np.exp(-0.5 * ((lags - at) / 60) ** 2)
            noise = np.convolve(random.normal(0, 0.1, 149), np.ones(9) / 9, "valid")
            curves.append((peak + noise)[None].repeat(2, 0))
        track = SimpleNamespace(start_frame=int(begin * 25), end_frame=int(end * 25) - 100)
        made.append(
            SimpleNamespace(
                track=track,
                curves=curves,
                weights=[1.0] * len(starts),
                windows=[(int(s * 25), int(s * 25) + 75) for s in starts],
                peak=SimpleNamespace(height=0.4),
                basis=off.Basis(3.0 * len(starts)),
            )
        )
    return made


@pytest.mark.parametrize(
    "ppm, lag_ms, seconds", [(145, 0, 600), (-80, 120, 900), (145, -200, 1800), (1000, -300, 600)]
)
def test_a_drift_is_found_to_ten_ppm_and_both_ends_to_20_ms(ppm, lag_ms, seconds):
    found = drift_of(Judge(), recording(lambda t: lag_ms + 1e-3 * ppm * t, seconds))
    assert found["drift_status"] == "drifts"
    assert abs(found["drift_ppm"] - ppm) <= 10
    assert 0 < found["drift_error_ppm"] <= 10
    assert abs(found["zero_lag_ms"] - lag_ms) <= 10
    left = [
        found["zero_lag_ms"] - lag_ms + 1e-3 * (found["drift_ppm"] - ppm) * t for t in (0, seconds)
    ]
    assert max(map(abs, left)) <= 20
    assert abs(found["end_lag_ms"] - lag_ms - 1e-3 * ppm * seconds) <= 20


def test_no_drift_is_told_where_there_is_none_or_none_can_be_known():
    for seed in range(6):
        assert drift_of(Judge(), recording(lambda t: 60.0, seed=seed))["drift_status"] == "steady"
    short = drift_of(Judge(), recording(lambda t: 0.145 * t, 40, tracks=1))
    assert short["drift_reason"] and "drift_ppm" not in short
    wild = recording(lambda t: 0.145 * t, 90, tracks=3, scatter_ms=150, foreign=0.6)
    assert drift_of(Judge(), wild).get("drift_status") != "drifts"
    foreign = recording(lambda t: 0.0, foreign=1.0)
    assert drift_of(Judge(), foreign).get("drift_status", "unknown") == "unknown"


@pytest.mark.parametrize(
    "jump",
    [
        lambda t: 120.0 * (t > 300),
        lambda t: 60.0 * (t > 300),
        lambda t: 200.0 * (t > 480),
        lambda t: 0.145 * t + 150.0 * (200 < t < 300),
    ],
)
def test_a_jump_is_no_drift_and_is_not_stretched(jump):
    found = drift_of(Judge(), recording(jump, scatter_ms=10.0, foreign=0.1))
    assert found["drift_status"] == "uneven", found
    assert "jumps" in found["drift_reason"]


def test_a_speaker_with_a_lag_of_their_own_is_no_jump():
    found = drift_of(Judge(), recording(lambda t: 0.145 * t - 40 * (300 < t < 360)))
    assert found["drift_status"] == "drifts" and abs(found["drift_ppm"] - 145) <= 10


def test_of_two_faces_in_view_the_speaker_counts():
    talks = recording(lambda t: 50 + 0.145 * t)
    listens = recording(lambda t: 0.0, seed=1, foreign=1.0)
    for face in listens:
        face.peak = SimpleNamespace(height=0.1)
    both = drift_of(Judge(), [*listens, *talks])
    assert both == drift_of(Judge(), talks)


def test_few_windows_have_no_line():
    assert find_line([0.0, 1.0], [np.zeros((1, 141))] * 2, [1.0, 1.0], STEP_MS) is None
    times = np.arange(100.0)
    assert find_line(times, [np.zeros((1, 141))] * 100, [0.0] * 100, STEP_MS) is None


@pytest.mark.parametrize(
    "lag_ms, ppm", [(0.0, 145.0), (120.0, -80.0), (-250.0, 145.0), (37.3, 1000.0), (80.0, 0.0)]
)
def test_a_retimed_chirp_is_right_at_every_sample(lag_ms, ppm):
    def chirp(time):
        return 12000 * np.sin(2 * np.pi * (100 * time + 0.5 * 320 * time**2))

    n = np.arange(20 * RATE)
    shift, kept = round(lag_ms * 16), 1 - 1e-6 * ppm
    heard = chirp((n + shift) / kept / RATE) * (n + shift >= 0)
    made = retimed(np.rint(heard).astype(np.int16), lag_ms, ppm)
    assert made.dtype == np.int16 and len(made) == len(n)
    inside = slice(max(0, shift) + 400, len(n) - max(0, -shift) - 1000)
    assert np.abs(made - chirp(n / RATE))[inside].max() <= 6
    assert not made[: max(0, shift - 200)].any()


def test_the_audit_says_it_once_for_a_recording():
    row = {
        "path": "/a/talk.mp4",
        "drift_status": "drifts",
        "drift_ppm": 145.2,
        "drift_error_ppm": 3.1,
        "drift_reason": None,
    }
    other = row | {"path": "/a/cut.mp4", "drift_status": "uneven", "drift_reason": "it jumps"}
    steady = row | {"path": "/a/ok.mp4", "drift_status": "steady", "drift_ppm": -1.0}
    told = recordings.sentences([row, dict(row), other, steady, {"path": "/a/x", "clip_id": "x"}])
    assert len(told) == 3
    assert any("talk.mp4 drifts by +145 ppm" in t and "another clock" in t for t in told)
    assert any("cut.mp4 is uneven: it jumps" in t for t in told)
    assert told[-1].startswith("1 of 3 recordings")


def test_old_ledgers_go_on():
    """An Offset's fields are hashed into the keys of a build: drift has a record of its own."""
    from manifests.records import Measured, Offset

    names = {f.name for f in dataclasses.fields(Offset)}
    assert not {n for n in names if n.startswith("drift_")} - {"drift_ms_per_min"}
    assert issubclass(Measured, Offset)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_drifting_recording_is_retimed_from_file_to_file(tmp_path):
    """Two and a half minutes at 1000 ppm move the sound as far as 15 minutes at 170 do."""
    from fractions import Fraction

    from pipeline.config.build_config import load_config
    from pipeline.demo.portraits import load_portraits
    from pipeline.demo.programme import draw_talk, steady
    from pipeline.demo.voice import speak
    from pipeline.resync import resync

    ppm, lag_ms, seconds = 1000.0, 60.0, 150.0
    talk = speak(seconds, 205.0, 1.12, 41)
    n = np.arange(round(seconds * RATE))
    pcm = np.interp(
        (n + lag_ms * 16) / (1 - 1e-6 * ppm), np.arange(len(talk.pcm)), talk.pcm, right=0.0
    )
    (tmp_path / "in").mkdir()
    draw_talk(
        tmp_path / "in" / "clock.mp4",
        [(load_portraits()[0], dataclasses.replace(talk, pcm=pcm.astype(np.float32)), seconds)],
        steady(Fraction(25), seconds),
        0.0,
        np.random.default_rng(2),
    )
    (row,) = resync(tmp_path / "in", tmp_path / "out", load_config(None))
    assert row["drift_status"] == "drifts"
    assert abs(row["drift_ppm"] - ppm) <= 3 * row["drift_error_ppm"]
    left = [
        lag_ms - row["applied_lag_ms"] + 1e-3 * (ppm - row["applied_drift_ppm"]) * t
        for t in (0, seconds)
    ]
    assert max(map(abs, left)) <= 20, left
    assert row["fate"] == "corrected" and row["target"].endswith("media/clock.mp4")
    assert max(abs(row["residual_start_ms"]), abs(row["residual_end_ms"])) <= 20
