"""What publishing does with transcripts: the text in the shards, and what a change touches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import fsspec
import pytest

from evaluation.pairing import read_texts
from manifests.corpus import Corpus
from pipeline.run.ledger import digest
from tests.factories import Built, fetched

GRID = "0 12500 bin\n12500 25000 blue\n25000 50000 now\n"
VTT = "WEBVTT\n\n00:00.000 --> 00:01.000\nbin blue\n"


@pytest.fixture
def media(tmp_path) -> Path:
    (tmp_path / "grid" / "align").mkdir(parents=True)
    (tmp_path / "grid" / "a.align").write_text(GRID)
    return tmp_path / "grid" / "a.mpg"


def test_texts_stand_in_the_shards_and_the_tables(tmp_path, media):
    built = Built(tmp_path / "c", [fetched("a", media), fetched("b", media.with_name("b.mpg"))])
    samples = built.publish()
    assert samples["a-c0"]["words"] == [
        {"word": "bin", "start_s": 0.0, "end_s": 0.5},
        {"word": "blue", "start_s": 0.5, "end_s": 1.0},
    ]
    assert [samples[k]["text"] for k in ("a-c0", "a-c1", "b-c0")] == ["bin blue", "now", None]
    assert samples["b-c0"]["text_reason"] == "no transcript came with the source"
    corpus = Corpus(tmp_path / "c")
    assert {
        r["clip_id"]: (r["text"], r["text_source"], r["text_reason"]) for r in corpus.rows("clips")
    } == {k: (s["text"], s["text_source"], s["text_reason"]) for k, s in samples.items()}
    rows = {r["video_id"]: r["transcript_path"] for r in corpus.rows("sources")}
    assert rows == {"a": str(media.with_suffix(".align")), "b": None}
    assert read_texts(tmp_path / "c") == {"a-c0": "bin blue", "a-c1": "now"}


def test_a_changed_transcript_is_published_and_one_that_moved_changes_nothing(tmp_path, media):
    built = Built(tmp_path / "c", [fetched("a", media)])
    built.publish()
    first = built.seal()
    align = media.with_suffix(".align")
    align.rename(media.parent / "align" / "a.align")
    built.publish()
    assert built.seal() == first
    (media.parent / "align" / "a.align").write_text(GRID.replace("blue", "rude"))
    assert built.publish()["a-c0"]["text"] == "bin rude"
    assert built.seal() != first
    fresh = Built(tmp_path / "other" / "c", [fetched("a", media)])
    fresh.publish()
    assert fresh.seal() == built.seal(), "the same bytes as a corpus built at once"


def test_a_source_that_is_added_leaves_old_shards_as_they_are(tmp_path, media):
    Built(tmp_path / "c", [fetched("a", media)]).publish()
    shard = next((tmp_path / "c" / "shards").glob("*/*.tar"))
    before = (shard.read_bytes(), shard.stat().st_mtime_ns)
    more = Built(tmp_path / "c", [fetched("a", media), fetched("b", media.with_name("b.mpg"))])
    assert len(more.publish()) == 4
    assert (shard.read_bytes(), shard.stat().st_mtime_ns) == before


def test_transcripts_are_in_no_units_key(media):
    plain = fetched("a", media)
    told = dataclasses.replace(
        plain,
        transcript_path="x",
        transcript_sha256="y",
        transcript_reason="z",
        caption_paths=["media/a.en.vtt"],
    )
    assert digest(plain) == digest(told)
    assert digest(plain) != digest(dataclasses.replace(plain, sha256="11"))


def test_captions_at_the_corpus_address_are_brought(tmp_path):
    address = f"file://{tmp_path}/bucket/c/work"
    link = fetched("a", "media/a.mp4", kind="link", caption_paths=["media/a-0f.en.vtt"])
    built = Built(tmp_path / "c", [link], address)
    system = fsspec.filesystem("file")
    system.makedirs(f"{tmp_path}/bucket/c/work/media")
    system.pipe_file(f"{tmp_path}/bucket/c/work/media/a-0f.en.vtt", VTT.encode())
    samples = built.publish()
    assert samples["a-c0"]["text"] == "bin blue" and samples["a-c0"]["words"] is None
    assert samples["a-c0"]["text_source"] == "captions"
    assert (tmp_path / "c" / "work" / "media" / "a-0f.en.vtt").read_text() == VTT
