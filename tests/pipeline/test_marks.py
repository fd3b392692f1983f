"""Marked clips become rejects of the next build, and come back when the mark is taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from manifests.corpus import Corpus
from manifests.files import write_atomic
from pipeline.corpus import marks
from pipeline.corpus.marks import MarksError
from pipeline.corpus.report.listing import reasons
from tests.factories import ONE_SHARD, Built, fetched


@pytest.fixture
def built(tmp_path) -> Built:
    return Built(tmp_path / "corpus", [fetched(f"v{i}", f"/d/v{i}.mp4") for i in range(6)])


def shards(root: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((root / "shards").glob("*/*.tar"))}


def test_a_marked_clip_leaves_its_shard_alone_and_is_a_reject(built):
    before = built.publish(ONE_SHARD)
    old = shards(built.root)
    gone = sorted(before)[3]
    work = built.files.folder
    marks.write(work, {gone: marks.make("out of sync", "half a second")})
    after = built.publish(ONE_SHARD)
    assert set(before) - set(after) == {gone}
    now = shards(built.root)
    changed = [name for name in old if now[name] != old[name]]
    shard = next(s for s in json.loads((work / "published.json").read_text())["samples"])["shard"]
    assert len(changed) == 1 and shard.endswith(tuple(now))
    assert all(before[clip] == after[clip] for clip in after), "who stays keeps split and speaker"
    corpus = Corpus(built.root)
    (reject,) = corpus.rows("rejects")
    assert (reject["stage"], reject["reason"], reject["item_id"]) == ("shards", "marked", gone)
    assert reject["detail"] == "out of sync: half a second"
    assert "marked" in reasons(corpus)
    assert gone in {c["clip_id"] for c in corpus.rows("clips")}
    assert gone not in {s["clip_id"] for s in corpus.rows("samples")}
    assert built.publish(ONE_SHARD) == after, "the same again changes nothing"
    assert shards(built.root) == now


def test_a_mark_taken_back_brings_the_clip_back(built):
    before = built.publish(ONE_SHARD)
    gone = sorted(before)[0]
    marks.write(built.files.folder, {gone: marks.make("other")})
    built.publish(ONE_SHARD)
    marks.write(built.files.folder, {})
    after = built.publish(ONE_SHARD)
    assert set(after) == set(before) and after[gone]["split"] == before[gone]["split"]
    assert Corpus(built.root).rows("rejects") == []


def test_marks_before_the_first_build_and_of_all_clips_of_a_shard(built):
    first = built.publish(ONE_SHARD)
    by_shard: dict[str, list[str]] = {}
    for row in Corpus(built.root).rows("samples"):
        by_shard.setdefault(row["shard"], []).append(row["clip_id"])
    shard, clips = min(by_shard.items(), key=lambda item: len(item[1]))
    marks.write(built.files.folder, {clip: marks.make("bad sound") for clip in clips})
    after = built.publish(ONE_SHARD)
    assert set(after) == set(first) - set(clips)
    assert not (built.root / shard).exists()
    (built.files.folder / "published.json").unlink()
    assert set(built.publish(ONE_SHARD)) == set(after)


def test_what_is_no_file_of_marks_is_named(tmp_path):
    for content in ("", "[]", '{"clips": {"a": {"reson": 1}}}', '{"clips": 3}'):
        write_atomic(tmp_path / marks.NAME, content)
        with pytest.raises(MarksError, match=r"marks\.json"):
            marks.read(tmp_path)
    with pytest.raises(MarksError, match="no reason"):
        marks.make("because")
    assert len(marks.make("other", "x" * 5000).note) == marks.MAX_NOTE
