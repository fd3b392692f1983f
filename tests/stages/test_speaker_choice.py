"""Who speaks: one face leads, equal ones are both ambiguous, and the detectors agree on a scene."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from manifests.records import Reject
from stages.backends.registry import make
from stages.networks.lag_curves import Peak
from stages.sync.active_speakers import ACTIVE_SPEAKER_DETECTORS
from stages.sync.audit import sample_track
from stages.sync.offsets import Judged, Sync, SyncConfig


@pytest.fixture(scope="module")
def sync():
    stage = Sync(SyncConfig(estimator="lipsync_linear"))
    stage.setup()
    return stage


def judged(number: int, height: float, start: int = 0, end: int = 150) -> Judged:
    track = dataclasses.replace(sample_track(f"t{number}", "v", end), start_frame=start)
    peak = Peak(0.0, height, 0.1, False)
    return Judged(track, 1.0, 6.0, 0.05, [], [], [], peak, 3.0)


def outcomes(sync, items) -> list[str]:
    items = sync.score_speakers(items, [np.zeros((len(items), 4))] * len(items), None)
    made = [sync._outcome(i, items, []) for i in items]
    return [o.reason if isinstance(o, Reject) else "speaks" for o in made]


def test_the_face_that_agrees_best_speaks(sync):
    assert outcomes(sync, [judged(0, 0.5), judged(1, 0.2)]) == ["speaks", "not_speaking"]
    assert outcomes(sync, [judged(0, 0.1), judged(1, 0.2), judged(2, 0.6)]) == [
        "not_speaking",
        "not_speaking",
        "speaks",
    ]


def test_equal_faces_are_both_ambiguous(sync):
    assert outcomes(sync, [judged(0, 0.41), judged(1, 0.40)]) == ["ambiguous_speaker"] * 2
    assert outcomes(sync, [judged(0, 0.41), judged(1, 0.40), judged(2, 0.1)]) == [
        "ambiguous_speaker",
        "ambiguous_speaker",
        "not_speaking",
    ]


def test_faces_that_never_meet_are_no_rivals(sync):
    assert outcomes(sync, [judged(0, 0.2, 0, 100), judged(1, 0.6, 100, 250)]) == ["speaks"] * 2


def test_speaker_detectors_have_names_of_their_own_and_an_unknown_one_lists_them():
    for name, kind in ACTIVE_SPEAKER_DETECTORS.items():
        assert kind.name == name and kind.margin > 0
    with pytest.raises(ValueError, match="light_asd, lipsync, lr_asd, syncnet"):
        make(ACTIVE_SPEAKER_DETECTORS, "eyes")
