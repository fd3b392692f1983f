"""Tracks of one chain share its lag; those of several recordings, and those that differ, do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from stages.networks import lag_curves as off
from stages.sync.audit import needed, sample_track
from stages.sync.offsets import Judged, Sync, SyncConfig
from stages.sync.together import agree, inherited

CONFIG = SyncConfig()
AXIS = np.arange(-70, 71) * 10.0


def bump(lag_ms: float, height: float, seed: int = 0) -> np.ndarray:
    """A curve of four voters with a peak at a lag, over a little noise."""
    noise = 0.02 * np.random.default_rng(seed).standard_normal((4, len(AXIS)))
    return (height * np.exp(-0.5 * ((AXIS - lag_ms) / 50) ** 2) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def sync() -> Sync:
    stage = Sync(CONFIG)
    stage.setup()
    return stage


def programme(sync: Sync, tracks: list[tuple[float, float]]):
    """Tracks that follow each other, each of three windows: lag and height of their curves."""
    judged = []
    for number, (lag_ms, height) in enumerate(tracks):
        track = dataclasses.replace(
            sample_track(f"t{number}", "v", 130 * (number + 1)), start_frame=130 * number
        )
        windows = [(0, 75), (25, 100), (50, 125)]
        curves = [bump(lag_ms, height, 10 * number + i) for i in range(3)]
        peak = sync.estimator.peak(off.pool(curves, [1.0] * 3))
        judged.append(Judged(track, 1.0, 5.0, 0.05, windows, curves, [1.0] * 3, peak, 5.0))
    return judged, [sync.offset_of(item, []) for item in judged]


def sure(sync: Sync, item: Judged) -> float:
    return sync.confidence(item.peak, item.basis) or 0.0


def test_an_undecided_track_inherits_what_the_others_share(sync):
    judged, rows = programme(sync, [(200, 0.6), (210, 0.6), (200, 0.03), (190, 0.6)])
    assert [r.offset_status for r in rows] == ["measured"] * 2 + ["undecided", "measured"]
    made = inherited(sync, judged, rows)
    assert [r.offset_scope for r in made] == ["track", "track", "video", "track"]
    assert made[2].offset_status == "measured" and made[2].reason is None
    bias = sync.estimator.peak(bump(0, 0.6)).lag_ms
    assert abs(made[2].video_lag_ms - bias - 200) < 15 and made[2].confidence > 0.75
    assert made[0] == rows[0] and made[1] == rows[1] and made[3] == rows[3]


def test_a_programme_cut_from_several_recordings_gives_nothing(sync):
    judged, rows = programme(sync, [(200, 0.6), (-150, 0.6), (200, 0.03), (190, 0.6)])
    assert inherited(sync, judged, rows) == rows
    judged, rows = programme(sync, [(200, 0.6), (200, 0.03)])
    assert inherited(sync, judged, rows) == rows, "one track alone is no agreement"


def test_a_curve_that_speaks_against_it_inherits_nothing(sync):
    height = next(
        h
        for h in np.arange(0.05, 0.6, 0.01)
        if sure(sync, programme(sync, [(-300, h)])[0][0]) >= 0.45
    )
    judged, rows = programme(sync, [(200, 0.6), (210, 0.6), (-300, height), (190, 0.6)])
    assert rows[2].offset_status == "undecided", rows[2].confidence
    assert inherited(sync, judged, rows) == rows


def test_still_lips_inherit_nothing(sync):
    judged, rows = programme(sync, [(200, 0.6), (210, 0.6), (200, 0.03)])
    judged[2] = dataclasses.replace(judged[2], lip_motion=0.0)
    assert inherited(sync, judged, rows) == rows


def test_one_odd_track_in_twenty_is_forgiven():
    assert agree([10.0, -10.0]) and not agree([10.0])
    assert not agree([0.0] * 18 + [300.0])
    assert agree([0.0] * 19 + [300.0]) and not agree([0.0] * 19 + [300.0, -300.0])


def test_how_much_speech_was_needed(sync):
    judged, _ = programme(sync, [(100, 0.9), (100, 0.03)])
    found = needed(sync, judged[0])
    assert found["windows_needed"] == 1 and found["seconds_needed"] == 3.0
    assert needed(sync, judged[1]).get("windows_needed") is None
    # The first window points elsewhere: what came before the lag settled does not count.
    odd = dataclasses.replace(judged[0], curves=[bump(-400, 0.4), *judged[0].curves[1:]])
    odd = dataclasses.replace(odd, peak=sync.estimator.peak(off.pool(odd.curves, odd.weights)))
    if sync.is_sure(odd.peak, odd.basis):
        assert needed(sync, odd)["windows_needed"] > 1
