"""The quality gate: a track that misses a limit is told which, by how much, and in what unit."""

from __future__ import annotations

import pytest

from manifests.records import Track
from stages.faces.identity import Identify, IdentityConfig
from tests.factories import blank

GOOD = {
    "start_frame": 10,
    "end_frame": 110,
    "median_box_px": 90.0,
    "sharpness": 30.0,
    "yaw_deg": -20.0,
    "pitch_deg": 5.0,
    "mean_score": 0.9,
}


@pytest.mark.parametrize(
    "changes, told",
    [
        ({}, None),
        ({"end_frame": 34}, ("too_brief", 24, 25, "frames with the face")),
        ({"median_box_px": 39.9}, ("small_face", 39.9, 40.0, "pixels of the face box")),
        ({"sharpness": 7.0}, ("blurred", 7.0, 8.0, "variance of the Laplacian")),
        ({"yaw_deg": -66.0}, ("turned", 66.0, 65.0, "degrees of yaw")),
        ({"yaw_deg": 65.0, "pitch_deg": 41.0}, ("turned", 41.0, 40.0, "degrees of pitch")),
        ({"mean_score": -0.1}, ("low_score", -0.1, 0.0, "detector score")),
        (
            {"mean_score": -0.1, "sharpness": 7.0},
            ("blurred", 7.0, 8.0, "variance of the Laplacian"),
        ),
    ],
)
def test_the_first_limit_that_is_missed_is_told(changes, told):
    reject = Identify(IdentityConfig())._judge(blank(Track, **GOOD | changes))
    found = reject and (reject.reason, reject.measured, reject.threshold, reject.detail)
    assert found == told
