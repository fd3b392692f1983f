"""Splits by a list of names, and the lists that ship."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from manifests import splits
from manifests.split_rules import FOLDER, parse_rules, part_of, read_rules
from tests.manifests.test_splits import make_clip, make_video

WORDS = (4, 4, 4, 25, 10, 4)
"""Of each place in a sentence of GRID: 51 in all."""


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/data/s1/bbaf2n.mpg", "test"),
        ("/data/s1/video/mpg_6000/bbaf2n.mpg", "test"),
        ("/data/s2/bbaf2n.mpg", None),
        ("/data/s1/bbaf2s.mpg", "train"),
        ("/data/s11/bbaf2n.mpg", None),
        ("b.c/lone.mp4", "val"),
        ("s1/bbaf2n", "test"),
    ],
)
def test_the_first_line_that_fits_counts(path, part):
    text = "# GRID\ntest s1/bbaf2n\ntrain\ts1/*   # the rest\n\nval lone\n"
    assert part_of(parse_rules(text, "list:x"), path) == part


@pytest.mark.parametrize(
    ("text", "why"),
    [("dev s1/a", "line 1"), ("train a\nval", "line 2"), ("# none", "names no video")],
)
def test_a_list_that_says_nothing_is_refused_by_line(text, why):
    with pytest.raises(ValueError, match=why):
        parse_rules(text, "list:x")


def test_a_list_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="grid_80_20"):
        read_rules("list:nowhere.txt")
    with pytest.raises(ValueError, match="not by_hand"):
        splits.SplitConfig(policy="by_hand")


def test_clips_go_where_the_list_says_and_the_sentence_tells(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("test a\ntrain b\n")
    config = splits.SplitConfig(policy=f"list:{path}")
    clips = [make_clip(name, 0) for name in "abc"]
    frozen = splits.freeze(config, clips, ["one"])
    path.unlink()  # what was frozen needs it no more
    videos = {
        n: make_video(n).__class__(**{**vars(make_video(n)), "media_path": f"/x/{n}.mp4"})
        for n in "abc"
    }
    found = [splits.assign(frozen, c, "one", videos[c.video_id]) for c in clips]
    assert found == ["test", "train", None]
    told = splits.describe(frozen, [part for part in found if part])
    assert told.startswith("Split by list") and "train 1, val 0, test 1" in told
    assert not splits.is_open(frozen, ["train"])


def named(name: str, part: str, speaker: str) -> list[str]:
    return [
        p.split("/")[1]
        for q, p in read_rules(f"list:{name}")
        if (q, p.split("/")[0]) == (part, speaker)
    ]


@pytest.mark.parametrize("speaker", ["s1", "s2", "s3", "s4"])
def test_80_20_has_all_words_in_the_fifth_of_each_speaker(speaker):
    test = named("grid_80_20", "test", speaker)
    assert len(set(test)) == 200 and all(
        re.fullmatch("[blps][bgrw][abiw][a-z][1-9z][anps]", t) for t in test
    )
    assert tuple(len({t[i] for t in test}) for i in range(6)) == WORDS
    # A word of GRID is said by a speaker 40 times (a letter) or more: the rest has all of them too.
    assert max(Counter(t[3] for t in test).values()) < 40
    assert named("grid_80_20", "train", speaker) == ["*"]


def test_90_5_5_is_the_published_draw():
    sizes = {
        part: [len(named("grid_90_5_5", part, s)) for s in ("s1", "s2", "s4", "s29")]
        for part in ("val", "test")
    }
    assert sizes == {"val": [49, 50, 50, 50], "test": [50, 50, 50, 50]}
    everything = [p for q, p in read_rules("list:grid_90_5_5") if q != "train"]
    assert len(set(everything)) == len(everything) == 399


def test_15_8_10_are_speakers_that_no_two_parts_share():
    rules = read_rules("list:grid_15_8_10")
    assert Counter(part for part, _ in rules) == {"train": 15, "val": 8, "test": 10}
    assert {p for _, p in rules} == {f"s{n}/*" for n in range(1, 35) if n != 21}
    assert part_of(rules, "/grid/s24/video/bbaf2n.mpg") == "val"


def test_every_list_can_be_read():
    for path in FOLDER.glob("*.txt"):
        assert read_rules(f"list:{path.stem}")
