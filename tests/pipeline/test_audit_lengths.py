"""What an audit says about length, and which speakers' undecided clips take a lag."""

from __future__ import annotations

import pytest

from pipeline.audit import centres, lengths, summarize
from pipeline.resync import fates
from pipeline.resync.plan import _intention


def clip(seconds, needed=None, **more):
    return {
        "heard_s": seconds,
        "windows_needed": None if needed is None else round(needed) - 2,
        "seconds_needed": needed,
        "offset_status": "undecided" if needed is None else "measured",
        **more,
    }


def test_undecided_short_clips_do_not_pass_for_hard_ones():
    rows = [clip(2.0)] * 50 + [clip(6.0, 3.0)] * 5 + [clip(6.0, 5.0)] * 5
    assert lengths.decided_share(rows) == [(3.0, 0.5), (5.0, 1.0)]
    said = lengths.sentence(rows)
    assert "10 of 60 clips" in said and "ask for clips with 5.0 s of speech" in said


def test_where_nothing_decides_it_says_so():
    assert lengths.sentence([clip(3.0)] * 4) is None
    assert "decided none of 6" in lengths.sentence([clip(3.0)] * 6)
    rows = [clip(6.0, 3.0)] * 3 + [clip(6.0)] * 3
    assert lengths.decided_share(rows) == [(3.0, 0.5)]
    assert "3.0 s of speech decide 50%" in lengths.sentence(rows)


def of_speaker(lags, tmp_path, **odd):
    rows = [
        {"speaker": "a", "video_lag_ms": lag, "offset_status": "measured", "confidence": 0.9}
        for lag in lags
    ]
    path = tmp_path / "x.mp4"
    path.touch()
    undecided = {
        "speaker": "a",
        "video_lag_ms": None,
        "offset_status": "undecided",
        "path": str(path),
        "inside": "x.mp4",
        "confidence": 0.2,
        "peak_lag_ms": -300.0,
    } | odd
    centre = centres(summarize([*rows, undecided]))
    return _intention(undecided, centre, "speaker")


def test_an_undecided_clip_takes_its_speakers_lag_where_the_clips_agree(tmp_path):
    made = of_speaker([80, 90, 100, 85, 95], tmp_path)
    assert made["fate"] == fates.CORRECTED and made["applied_lag_ms"] == pytest.approx(90)
    assert made["corrected_by"] == "speaker"


def test_it_does_not_where_they_disagree_or_its_own_curve_does(tmp_path):
    assert of_speaker([80, 90, 300, -200, 95], tmp_path)["fate"] == fates.LEFT_OUT
    contrary = of_speaker([80, 90, 100, 85, 95], tmp_path, confidence=0.6)
    assert contrary["fate"] == fates.LEFT_OUT
    near = of_speaker([80, 90, 100, 85, 95], tmp_path, confidence=0.6, peak_lag_ms=110.0)
    assert near["fate"] == fates.CORRECTED
