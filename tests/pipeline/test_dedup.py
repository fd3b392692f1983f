"""`yld dedup`: one recording twice is found however it was coded, other sentences are not."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from manifests.corpus import Corpus
from pipeline.care import sound_print
from pipeline.care.dedup import dedup, reject
from pipeline.care.sound_print import agreements, print_of
from pipeline.cli import main
from pipeline.config.build_config import BuildConfig
from pipeline.corpus import marks
from stages.corpus.sharding import ShardsConfig
from tests.grid_copies import coded_again, copied, grid_videos, sound_of_file
from tests.tended import FRAMES, Shown, Tended, people, sound_of

FEW_SHARDS = BuildConfig(shards=ShardsConfig(min_per_split=1))
FIRST = Shown("first.mp4", 0, 1)
TRIMMED = Shown("trimmed.mp4", 0, 1, start_frame=8, noise=0.02)
OTHER_FACE = Shown("listener.mp4", 1, 1, face_take=77)


def clip(shown: Shown) -> str:
    return f"{shown.video_id}-s000-t000-c000"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Tended:
    root = tmp_path_factory.mktemp("dedup") / "corpus"
    others = [Shown(f"other-{i}.mp4", 0, 10 + i) for i in range(6)]
    return Tended(root, [FIRST, TRIMMED, OTHER_FACE, *others], FEW_SHARDS).publish()


def test_a_trimmed_copy_is_found_with_its_lag_and_nothing_else(built):
    found = dedup([built.root])
    assert found.num_clips == 9 and not found.damaged
    same = [p for p in found.pairs if p.kind == "clip"]
    assert [{p.a, p.b} for p in same] == [{clip(FIRST), clip(TRIMMED)}]
    assert abs(abs(same[0].lag_s) - 8 * 0.04) < 0.02 and same[0].similarity > 0.8
    assert same[0].face is not None and same[0].face > 0.9


def test_another_face_under_the_same_sound_is_no_copy(built):
    pairs = [p for p in dedup([built.root]).pairs if clip(OTHER_FACE) in (p.a, p.b)]
    assert pairs and {p.kind for p in pairs} == {"sound"}
    assert all(p.face is not None and p.face < 0.5 for p in pairs)


def test_all_but_one_become_rejects_as_marks_do(tmp_path):
    shown = [FIRST, TRIMMED, Shown("third.mp4", 0, 1, start_frame=4), *people(2, 1, first=5)]
    corpus = Tended(tmp_path / "c", shown, FEW_SHARDS).publish()
    told = CliRunner().invoke(main, ["dedup", str(corpus.root), "--reject"])
    assert told.exit_code == 0 and "2 clips are marked" in told.output
    marked = marks.read(corpus.work)
    assert len(marked) == 2 and {m.reason for m in marked.values()} == {marks.DUPLICATE}
    corpus.publish()
    rows = Corpus(corpus.root).rows("samples")
    copies = {clip(s) for s in shown[:3]}
    assert len(rows) == 3 and len(copies & {r["clip_id"] for r in rows}) == 1
    rejects = [r for r in Corpus(corpus.root).rows("rejects") if r["reason"] == "marked"]
    assert {r["item_id"] for r in rejects} == set(marked)
    assert all("the same recording as" in r["detail"] for r in rejects)
    found = dedup([corpus.root])
    reject(corpus.root, found)
    assert not found.pairs and marks.read(corpus.work) == marked


def test_two_links_to_the_same_bytes_are_one_video(tmp_path, built):
    """As two sites have them: ids and links differ, bytes do not."""
    from manifests import records as rec
    from manifests.schema import write_table
    from pipeline.run.entry import decode

    corpus = Tended(tmp_path / "c", people(2, 1), FEW_SHARDS).publish()
    part = corpus.root / "manifests" / "sources" / "part-000000.parquet"
    rows = [decode(rec.Fetched, r) for r in Corpus(corpus.root).rows("sources")]
    object.__setattr__(rows[1], "sha256", rows[0].sha256)
    write_table(part, rec.Fetched, rows)
    assert [(p.kind, {p.a, p.b}) for p in dedup([corpus.root]).pairs] == [
        ("video", {r.video_id for r in rows})
    ]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Path, Path]:
    """Corpora that share a person, and a recording which is coded anew in the second."""
    folder = tmp_path_factory.mktemp("leaks")
    first = [*people(11, 1), Shown("shared.mp4", 20, 500)]
    second = [*people(10, 1, first=30), Shown("again.mp4", 20, 500, start_frame=3, noise=0.02)]
    second.append(Shown("other-video.mp4", 3, 700))
    return tuple(
        Tended(folder / name, shown, FEW_SHARDS).publish().root
        for name, shown in (("a", first), ("b", second))
    )


def test_what_is_training_here_and_judging_there_is_told(two):
    found = dedup(two)
    kinds = {p.kind for p in found.pairs}
    assert kinds == {"clip", "speaker"}
    parts = [{r["clip_id"]: r["split"] for r in Corpus(root).rows("samples")} for root in two]
    for pair in found.pairs:
        if pair.kind == "clip":
            assert (pair.a_parts, pair.b_parts) == ((parts[0][pair.a],), (parts[1][pair.b],))
        leaks = ("train" in pair.a_parts) != ("train" in pair.b_parts)
        assert pair.leaks == leaks
    persons = {p.a for p in found.pairs if p.kind == "speaker"}
    assert len(persons) == 2, "person 20 and person 3 are in both"


def test_the_command_checks_and_is_read_by_programs(two, built):
    told = CliRunner().invoke(main, ["dedup", *map(str, two), "--json", "--check"])
    rows = json.loads(told.stdout)
    assert told.exit_code == (1 if any(r["leaks"] for r in rows) else 0)
    assert CliRunner().invoke(main, ["dedup", *map(str, two), "--reject"]).exit_code == 2
    words = CliRunner().invoke(main, ["dedup", str(built.root)])
    assert " the same, " in words.output and clip(FIRST) in words.output


def test_silence_and_short_sounds_have_no_twin():
    silent = [print_of(np.zeros(640 * FRAMES, np.int16)) for _ in range(3)]
    short = [print_of(sound_of(FIRST)[:9000]) for _ in range(2)]
    assert agreements([*silent, *short], [-1] * 5) == []
    assert len(print_of(np.zeros(10, np.int16)).words) == 0


def test_a_word_that_all_have_proposes_nothing(monkeypatch):
    monkeypatch.setattr(sound_print, "MOST_EQUAL", 1)
    sound = sound_of(FIRST)
    assert agreements([print_of(sound)] * 3, [-1] * 3) == []


def test_real_sentences_of_one_rhythm_are_told_from_copies():
    """GRID's first speaker, six words at one pace; copies as poor as sites make them."""
    videos = grid_videos(10)
    sounds = [sound_of_file(v) for v in videos]
    copies = [
        coded_again(sounds[0][5000:], "aac", 44100, 48_000),
        coded_again(sounds[1], "libopus", 48000, 16_000),
        coded_again(sounds[2][8000:], "libmp3lame", 22050, 24_000),
    ]
    prints = [print_of(s) for s in (*sounds, *copies)]
    found = agreements(prints, [-1] * len(prints))
    assert [(f.first, f.second) for f in found] == [(0, 10), (1, 11), (2, 12)]
    assert abs(found[0].lag * sound_print.HOP - 5000) <= 2 * sound_print.HOP
    unlike = (
        sound_print.compare(prints, a, b, lag)
        for a, b in itertools.combinations(range(4), 2)
        for lag in range(-120, 121, 3)
    )
    assert max(u.bits for u in unlike if u is not None) < sound_print.SAME_BITS


@pytest.mark.slow
def test_real_copies_are_found_in_a_built_corpus(tmp_path):
    """Re-encoded, re-scaled, trimmed copies of real clips, and other sentences of the speaker."""
    from pipeline.build.job import build
    from pipeline.config.build_config import load_config

    folder = tmp_path / "videos"
    folder.mkdir()
    videos = grid_videos(6)
    for video in videos:
        (folder / video.name).write_bytes(video.read_bytes())
    copied(videos[0], folder / "copy-a.mp4", scale=0.7, start_s=0.32)
    copied(videos[1], folder / "copy-b.mp4", scale=1.5, start_s=0.0, bits=24_000)
    settings = ("clips.mode=whole", "sync.correct=false")
    build([str(folder)], tmp_path / "corpus", load_config(None, settings))
    corpus = Corpus(tmp_path / "corpus")
    name = {r["video_id"]: Path(r["address"]).name for r in corpus.rows("sources")}
    assert len(corpus.rows("samples")) == 8
    pairs = {
        (p.kind, *sorted(name[c.split("-")[0]] for c in (p.a, p.b)))
        for p in dedup([corpus.root]).pairs
    }
    assert pairs == {
        ("clip", videos[0].name, "copy-a.mp4"),
        ("clip", videos[1].name, "copy-b.mp4"),
    }
