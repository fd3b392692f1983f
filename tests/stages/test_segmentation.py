"""Spans of clips: inside the track, disjoint, long enough, cut in pauses."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.clips.segmentation import segment, usable_runs

speeches = st.lists(st.tuples(st.integers(0, 400), st.integers(3, 120)), max_size=8)


@given(st.integers(0, 100), st.integers(1, 400), speeches)
def test_spans_keep_their_promises(start, length, pieces):
    at, speech = 0, []
    for gap, size in pieces:
        speech.append((at + gap % 40, at + gap % 40 + size))
        at = speech[-1][1] + 1
    spans = segment(start, start + length, speech, "yld", 25, 75, 0.3)
    for low, high in spans:
        assert start <= low < high <= start + length
        assert 25 <= high - low <= 75
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


def test_cuts_lie_in_pauses():
    spans = segment(0, 200, [(5, 60), (70, 120), (130, 190)], "yld", 25, 75, 0.3)
    assert len(spans) == 3
    assert 60 <= spans[0][1] <= 70 and 120 <= spans[1][1] <= 130


def test_a_second_of_talk_in_a_short_track_gives_a_clip():
    assert segment(0, 53, [(20, 40)], "yld", 25, 75, 0.3)


def test_other_modes():
    talk = [(0, 500)]
    assert segment(0, 160, talk, "fixed", 25, 75, 0.3) == [(0, 75), (75, 150)]
    assert segment(0, 160, talk, "whole", 25, 75, 0.3) == [(0, 160)]
    assert segment(0, 160, [], "fixed", 25, 75, 0.3) == []


def test_a_gap_of_more_than_two_frames_ends_a_run():
    seen = np.array([1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1], bool)
    assert usable_runs(seen, 2) == [(0, 6), (9, 11)]
