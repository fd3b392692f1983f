"""Scenes are fair, and counting is right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import speaker_choice as bench
from benchmarks.speaker_choice import Clip, Face, Scene
from tests.stages.test_light_asd import random_network

SPEAKERS = ["a"] * 20 + ["b", "b", "c", "d"]


def test_scenes_are_of_different_speakers_and_speakers_of_like_weight():
    for count in (2, 3):
        scenes = bench.draw_scenes(SPEAKERS, count, 2000, 3)
        assert scenes == bench.draw_scenes(SPEAKERS, count, 2000, 3)
        assert scenes != bench.draw_scenes(SPEAKERS, count, 2000, 4)
        for scene in scenes:
            assert len({SPEAKERS[i] for i in scene.faces}) == count
        seen = Counter(SPEAKERS[i] for scene in scenes for i in scene.faces)
        heard = Counter(scene.heard for scene in scenes)
        assert all(abs(n / (2000 * count) - 0.25) < 0.03 for n in seen.values())
        assert all(abs(heard[i] / 2000 - 1 / count) < 0.05 for i in range(count))
    with pytest.raises(ValueError, match="5 speakers"):
        bench.draw_scenes(SPEAKERS, 5, 1, 0)


def test_the_index_is_read(tmp_path):
    (tmp_path / "INDEX.tsv").write_text(
        "path\ttalking\tspeaker\nx/1.mp4\tyes\ta\nx/2.mp4\tno\ta\nx/3.mp4\tyes, turned\tb\n"
        "x/4.mp4\tyes\t\nx/5.mp4\tyes\tb\n"
    )
    clips = bench.read_index(tmp_path / "INDEX.tsv")
    assert clips == [Clip(tmp_path / "x/1.mp4", "a"), Clip(tmp_path / "x/5.mp4", "b")]
    many = [Clip(Path(f"{i}.mp4"), "a") for i in range(9)] + clips
    chosen = bench.choose_clips(many, 3, 0)
    assert Counter(c.speaker for c in chosen) == {"a": 3, "b": 1}
    assert chosen == bench.choose_clips(many[::-1], 3, 0) != bench.choose_clips(many, 3, 1)


def test_right_is_the_face_that_is_heard():
    table = np.array([[2.0, 0.0, 0], [1.0, 1.0, 0], [1.0, 3.0, 0]])
    assert bench.num_right([Scene((0, 1), 0)], table) == 1
    assert bench.num_right([Scene((1, 0), 0)], table) == 1
    assert bench.num_right([Scene((1, 2), 0)], table) == 0
    assert bench.num_right([Scene((2, 1), 1)], table) == 0
    assert bench.num_right([Scene((1, 2), 1)], np.zeros((3, 4))) == 0


def test_interval():
    assert bench.wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert bench.wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)


def test_scores_of_pairs_are_those_of_tracks():
    random, network = np.random.default_rng(0), random_network()
    faces = [
        Face(
            Clip(Path("x"), "a"),
            random.integers(0, 256, (75, 112, 112)).astype(np.uint8),
            random.integers(-5000, 5000, 76 * 640).astype(np.int16),
        )
        for _ in range(2)
    ]
    scenes = [bench.Scene((0, 1), 0), bench.Scene((1,), None, 0)]
    table = bench.mean_scores(network, faces, bench.pairs_of(scenes))
    assert table.shape == (2, 3) and np.isnan(table[:, 1]).all(), "no scene has that sound"
    alone = network.scores(faces[1].gray, faces[0].pcm, None).mean()
    assert table[1, 0] == pytest.approx(alone, abs=1e-5)
    silent = network.scores(faces[1].gray, np.zeros(48000, np.int16), None).mean()
    assert table[1, 2] == pytest.approx(silent, abs=1e-5)
