"""Each canonical frame and each sample of many containers and defects, against what was composed
and against what the ffmpeg program decodes: the fast rows of `benchmarks.media_truth`."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from benchmarks.media_truth import compare, counter, hearing, marks
from benchmarks.media_truth.compose import compose
from benchmarks.media_truth.patches import display_matrix, truncated
from benchmarks.media_truth.recipe import Recipe, Shift, Sound
from benchmarks.media_truth.run import all_cases, run_case
from benchmarks.media_truth.table import Case
from manifests.clock import Clock
from manifests.media import pictures as media_read

CASES = all_cases()
FAST = [c for c in CASES if c.fast]


@pytest.mark.parametrize("case", FAST, ids=lambda c: c.name)
def test_every_frame_and_sample(case, tmp_path):
    row = run_case(case, tmp_path)
    assert row.right, row.faults


def test_the_table_is_large_and_says_why():
    assert len({c.name for c in CASES}) == len(CASES) >= 120
    assert len(FAST) >= 0.4 * len(CASES)
    for case in CASES:
        departs = replace(case.expected, why="", rejects=frozenset(), words="") != compare.Expected(
            video=case.expected.video
        )
        assert case.expected.why or not departs, f"{case.name} departs and does not say why"


def test_a_picture_is_read_only_upright():
    picture = counter.draw(1234, 1.0, 160, 128)
    for name, turn in counter.ORIENTATIONS.items():
        turned = turn(picture)
        assert counter.read(turned) == (1234 if name == "upright" else None)
        assert counter.orientation(turned) == name
    assert counter.read(np.full((128, 160), 90, np.uint8)) is None
    for number in (0, 1, 4095):
        assert counter.read(counter.draw(number, 0.0, 96, 72)) == number
    with pytest.raises(ValueError, match="4096"):
        counter.bits_of(4096)


@pytest.mark.parametrize("late", [-700, -1, 0, 0.37, 1, 79, 700])
def test_sound_is_found_again_to_a_part_of_a_sample(late):
    count = 8000
    around = marks.samples(0.5 - hearing.SEARCH / 16000, count + 2 * hearing.SEARCH, 16000) * 32767
    heard = marks.samples(0.5 - late / 16000, count, 16000) * 32767
    match = hearing.compare_sound(heard, around)
    assert match.lag_samples == pytest.approx(late, abs=0.05)
    assert match.correlation > 0.99 and match.num_windows == 2
    other = marks.samples(0.5, count, 16000, seed=1) * 32767
    assert hearing.compare_sound(other, around).correlation < 0.8


def test_silence_that_should_be_sound_is_told_and_the_other_way_round():
    around = marks.samples(0.5, 3200 + 2 * hearing.SEARCH, 16000) * 32767
    silent = np.zeros_like(around)
    middle = around[hearing.SEARCH : -hearing.SEARCH]
    assert hearing.compare_sound(middle * 0, around).silences == ["silence at 0.0 s"]
    assert hearing.compare_sound(middle, silent).silences == ["sound at 0.0 s"]
    assert not hearing.compare_sound(middle * 0, silent).silences


def faults_of(recipe: Recipe, folder, expected=None) -> list[str]:
    return run_case(Case("wrong", recipe, expected or compare.Expected()), folder).faults


def test_a_reader_that_errs_is_found_out(tmp_path, monkeypatch):
    recipe = Recipe(rate=Fraction(30), seconds=1.6)
    assert not faults_of(recipe, tmp_path)
    with monkeypatch.context() as wrong:  # the picture before, not the nearest
        wrong.setattr(
            Clock,
            "last_frame_of",
            lambda self, pts_us, next_us: int((next_us - 1 - self.zero_us) // 40_000),
        )
        assert any("frames wrong" in f for f in faults_of(recipe, tmp_path))
    real = compare.read_audio
    for name, change in {
        "late by two samples": lambda pcm: np.roll(pcm, 2),
        "twice as loud": lambda pcm: np.clip(pcm * 2, -32767, 32767),
        "with a hole": lambda pcm: np.where(np.arange(len(pcm)) // 3200 == 3, 0, pcm),
    }.items():
        with monkeypatch.context() as wrong:
            wrong.setattr(
                compare,
                "read_audio",
                lambda video, change=change: change(real(video).astype(np.int32)),
            )
            assert faults_of(recipe, tmp_path), name
    with monkeypatch.context() as wrong:  # every other picture upside down
        wrong.setattr(
            media_read.Picture, "rgb", lambda self, side=None: self._convert(side, "rgb24")[::-1]
        )
        assert any("upside down" in f for f in faults_of(recipe, tmp_path))


def test_a_composition_is_not_what_is_expected_of_it(tmp_path):
    """The bench does not pass whatever it is given: files are told apart from their rows."""
    short = Recipe(seconds=1.6)
    late = replace(short, sounds=(Sound(start_s=0.3),))
    path = compose(late, tmp_path, "late")
    assert compare.judge(path, short, (), compare.Expected()).faults
    turned = replace(short, steps=(display_matrix("mirrored"),))
    assert faults_of(turned, tmp_path)
    assert faults_of(
        replace(short, steps=(truncated(0.9),), options={"movflags": "faststart"}), tmp_path
    )
    shifted = replace(short, shifts=(Shift(0.08, kinds=("audio",)),))
    assert faults_of(shifted, tmp_path)
