"""The alignment frontend finds planted shifts, in the right sense, and loses nothing to them."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics.alignment import SEARCH_MS, apply_shift, find_shift
from evaluation.metrics.errors import LengthMismatch, Silent, TooShort
from evaluation.metrics.intelligibility import estoi, stoi
from evaluation.metrics.mcd import mcd
from tests.evaluation.clips import grid, speechlike

MARGIN = SEARCH_MS * 16


@pytest.fixture(scope="module")
def long_pair():
    """A clip and a degraded version of it, both with content beyond the span that is scored."""
    sound = np.concatenate([grid("bbaf2n"), grid("bgan7a")])
    noise = np.random.default_rng(1).standard_normal(len(sound)).astype(np.float32)
    return sound, 0.7 * sound + 0.02 * noise


@pytest.mark.parametrize("late_ms", [-300, -290, -160, -10, 0, 10, 40, 200, 300])
def test_aligned_scores_equal_the_unshifted_ones(long_pair, late_ms):
    """Issue's proof: no content is cut, the same reference span is scored."""
    sound, degraded = long_pair
    end = len(sound) - MARGIN
    reference = sound[MARGIN:end]
    hypothesis = degraded[MARGIN - late_ms * 16 : end - late_ms * 16]
    found = find_shift(reference, hypothesis)
    assert found.offset_ms == late_ms  # o_f > 0: the hypothesis is late
    assert found.at_limit == (abs(late_ms) == SEARCH_MS)
    aligned = apply_shift(reference, hypothesis, found.shift_ms)
    start, stop = max(0, -late_ms * 16), min(len(reference), len(reference) - late_ms * 16)
    unshifted = reference[start:stop], degraded[MARGIN:end][start:stop]
    for metric in (stoi, estoi, mcd):
        assert metric(*aligned) == pytest.approx(metric(*unshifted), abs=1e-3)
    if abs(late_ms) >= 40:  # and without the frontend they would not be equal
        assert stoi(reference, hypothesis) < stoi(*unshifted) - 0.1


def test_a_longer_hypothesis_keeps_its_whole_content():
    """Padding in front moves the sound; the reference span scored is then the whole."""
    sound = speechlike()
    hypothesis = np.concatenate([np.zeros(3200, np.float32), sound])
    found = find_shift(sound, hypothesis)
    reference, aligned = apply_shift(sound, hypothesis, found.shift_ms)
    assert found.offset_ms == 200
    np.testing.assert_array_equal(reference, sound)
    np.testing.assert_array_equal(aligned, sound)


def test_gain_does_not_matter():
    sound = speechlike(seed=3)
    assert find_shift(sound[800:], 0.1 * sound[:-800]).offset_ms == 50


def test_lengths_that_no_shift_explains_are_refused():
    sound = speechlike()
    with pytest.raises(LengthMismatch):
        apply_shift(sound, sound[:24000], 10)


def test_silence_has_no_shift():
    with pytest.raises(Silent):
        find_shift(speechlike(), np.zeros(48000))


def test_what_is_too_short_to_align_says_so():
    sound = speechlike()
    with pytest.raises(
        TooShort,
        match="too short to align: the reference is 125 ms long and the "
        "hypothesis 50 ms; 130 ms are needed",
    ):
        find_shift(sound[:2000], sound[:800])
    with pytest.raises(LengthMismatch, match="3000 ms long and the hypothesis 50 ms"):
        find_shift(sound, sound[:800])
    assert find_shift(sound[:2080], sound[:2080]).shift_ms == 0
