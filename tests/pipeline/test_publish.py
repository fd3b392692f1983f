"""Publishing: one that fails breaks nothing, small corpora grow; verify sees tables too."""

from __future__ import annotations

import shutil

import pytest

from manifests.corpus import Corpus, NotACorpusError
from manifests.splits import EmptySplitError, SplitConfig
from pipeline.config.build_config import BuildConfig
from pipeline.corpus.verify import verify
from tests.factories import Built, fetched


def built(root, count: int) -> Built:
    return Built(root, [fetched(f"v{i:02d}", f"/nowhere/{i}.mp4") for i in range(count)])


def contents(root) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_parts_that_cannot_be_filled_leave_the_corpus_as_it_was(tmp_path):
    corpus = built(tmp_path / "c", 2)
    corpus.publish()
    before = contents(tmp_path / "c")
    with pytest.raises(EmptySplitError, match="nothing was published"):
        corpus.publish(BuildConfig(splits=SplitConfig(policy="time")))
    assert contents(tmp_path / "c") == before


def test_a_corpus_that_grows_is_divided_once_it_can_be(tmp_path):
    first = built(tmp_path / "c", 1).publish()
    assert {s["split"] for s in first.values()} == {"train"}
    grown = built(tmp_path / "c", 40).publish()
    assert {s["split"] for s in grown.values()} == {"train", "val", "test"}
    by_video = {}
    for key, sample in grown.items():
        by_video.setdefault(key.split("-")[0], set()).add(sample["split"])
    assert all(len(parts) == 1 for parts in by_video.values()), "a video is in two parts"
    assert Corpus(tmp_path / "c").splits["policy"] in ("source", "speaker")
    built(tmp_path / "other" / "c", 40).publish()
    for name, content in contents(tmp_path / "other" / "c" / "shards").items():
        assert (tmp_path / "c" / "shards" / name).read_bytes() == content


def test_a_small_corpus_that_grows_tells_its_present_size(tmp_path):
    built(tmp_path / "c", 1).publish()
    shard = next((tmp_path / "c" / "shards").glob("*/*.tar"))
    before = shard.read_bytes()
    built(tmp_path / "c", 3).publish()
    assert "3 videos (20 needed" in Corpus(tmp_path / "c").split_sentence()
    assert shard.read_bytes() == before, "an old shard changed"


def test_a_divided_corpus_keeps_its_parts_when_it_grows(tmp_path):
    before = built(tmp_path / "c", 25).publish()
    after = built(tmp_path / "c", 60).publish()
    assert {k: after[k]["split"] for k in before} == {k: s["split"] for k, s in before.items()}


@pytest.mark.parametrize("damage", ["a table changed", "a table is missing", "splits changed"])
def test_verify_sees_tables(tmp_path, damage):
    built(tmp_path / "c", 1).publish()
    tables = tmp_path / "c" / "manifests"
    clean = {p["where"] for p in verify(tmp_path / "c")}
    part = tables / "clips" / "part-000000.parquet"
    if damage == "a table changed":
        part.write_bytes(part.read_bytes().replace(b"v00", b"v01"))
        where = "manifests/clips/part-000000.parquet"
    elif damage == "a table is missing":
        shutil.rmtree(tables / "offsets")
        where = "manifests/offsets"
    else:
        (tables / "splits.json").write_text("{}")
        where = "manifests/splits.json"
    assert where in {p["where"] for p in verify(tmp_path / "c")} - clean


def test_a_corpus_that_is_not_finished_is_told_from_none(tmp_path):
    with pytest.raises(NotACorpusError, match="holds no corpus"):
        Corpus(tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "status.json").write_text("[]")
    with pytest.raises(NotACorpusError, match="is not finished"):
        Corpus(tmp_path)


def test_a_list_divides_and_one_that_was_edited_divides_anew(tmp_path):
    listed = tmp_path / "mine.txt"
    listed.write_text("test 1\nval 2\ntrain [0-3]\n")
    config = BuildConfig(splits=SplitConfig(policy=f"list:{listed}"))
    corpus = built(tmp_path / "c", 5)

    def parts() -> dict[str, str]:
        return {k.split("-")[0]: s["split"] for k, s in corpus.publish(config).items()}

    assert parts() == {"v00": "train", "v01": "test", "v02": "val", "v03": "train"}
    assert "Split by list" in Corpus(tmp_path / "c").split_sentence()
    rejects = Corpus(tmp_path / "c").rows("rejects")
    assert {(r["reason"], r["video_id"]) for r in rejects} == {("not_listed", "v04")}
    listed.write_text("train [0-4]\n")
    assert parts() == {f"v0{i}": "train" for i in range(5)}
