"""What publishing does with transcripts: the text in the shards, and what a change touches."""

from __future__ import annotations

import dataclasses
import io
import json
import typing
from pathlib import Path

import fsspec
import pytest

from evaluation.pairing import read_texts
from manifests import records as rec
from manifests.files import write_atomic
from manifests.sample_json import known
from manifests.tarfiles import read_tar, write_tar
from pipeline.config import BuildConfig
from pipeline.corpus import Corpus
from pipeline.ledger import Entry, Result, digest
from pipeline.own_folder import claim
from pipeline.publish import publish
from pipeline.work_files import WorkFiles

GRID = "0 12500 bin\n12500 25000 blue\n25000 50000 now\n"
VTT = "WEBVTT\n\n00:00.000 --> 00:01.000\nbin blue\n"


def blank(kind: type, **values):
    """A record whose other fields are empty: "", 0, or null where they may be."""
    empty = {str: "", int: 0, float: 0.0, bool: False}
    hints = typing.get_type_hints(kind)
    return kind(**{f.name: empty.get(hints[f.name]) for f in dataclasses.fields(kind)} | values)


def fetched(video: str, address: Path | str, source: str | None = None, **changes) -> rec.Fetched:
    return rec.Fetched(source or f"s{video}", video, str(address), "00", 1, str(address),
                       changes.pop("kind", "file"), "", **changes)


class Built:
    """A corpus whose stages have run: two clips of a second for each of the sources' videos."""

    def __init__(self, root: Path, sources: list[rec.Fetched], address: str | None = None):
        self.root, self.sources = root, sources
        claim(root, "corpus")
        self.files = WorkFiles(root / "work", address)
        videos = sorted({s.video_id for s in sources})
        self.clips = [self._clip(v, n) for v in videos for n in (0, 1)]
        records = {"download": sources, "clips": self.clips, "probe": [
            blank(rec.Video, video_id=v, zero_us=0, audio_start_us=0, duration_us=2_000_000,
                  container="mov", num_frames=50, frame_rate="25") for v in videos]}
        records["identity"] = [
            blank(rec.Identity, track_id=f"{v}-t", video_id=v, shot_id=v, embedder="e",
                  embedding=[float(i), 1.0], num_chips=1) for i, v in enumerate(videos)]
        self.entries = {
            stage: {rec.record_id(r): Entry(stage, "u", "k", [Result("i", [r])]) for r in rows}
            for stage, rows in records.items()}
        write_atomic(root / "work" / "requests.json", "[]")

    def _clip(self, video: str, number: int) -> rec.Clip:
        name = f"{video}-c{number}"
        buffer = io.BytesIO()
        write_tar(buffer, [(name, {"json": b'{"text": null}', "face.mp4": name.encode()})])
        write_atomic(self.files.folder / "clips" / f"{name}.tar", buffer.getvalue())
        return blank(rec.Clip, clip_id=name, track_id=f"{video}-t", shot_id=video, video_id=video,
                     start_frame=25 * number, end_frame=25 * number + 25, num_frames=25,
                     audio_start_sample=16000 * number, payload_path=f"clips/{name}.tar")

    def publish(self, config: BuildConfig | None = None) -> dict[str, dict]:
        """The samples' `json` by key, as `known` gives it."""
        publish(self.root, self.files, config or BuildConfig(), self.entries, [])
        return {key: known(json.loads(parts["json"]))
                for shard in sorted((self.root / "shards").glob("*/*.tar"))
                for key, parts in read_tar(shard).items()}

    def seal(self) -> str:
        return (self.root / "SHA256SUMS").read_text()


@pytest.fixture
def media(tmp_path) -> Path:
    (tmp_path / "grid" / "align").mkdir(parents=True)
    (tmp_path / "grid" / "a.align").write_text(GRID)
    return tmp_path / "grid" / "a.mpg"


def test_texts_stand_in_the_shards_and_the_tables(tmp_path, media):
    built = Built(tmp_path / "c", [fetched("a", media), fetched("b", media.with_name("b.mpg"))])
    samples = built.publish()
    assert samples["a-c0"]["words"] == [{"word": "bin", "start_s": 0.0, "end_s": 0.5},
                                        {"word": "blue", "start_s": 0.5, "end_s": 1.0}]
    assert [samples[k]["text"] for k in ("a-c0", "a-c1", "b-c0")] == ["bin blue", "now", None]
    assert samples["b-c0"]["text_reason"] == "no transcript came with the source"
    corpus = Corpus(tmp_path / "c")
    assert {r["clip_id"]: (r["text"], r["text_source"], r["text_reason"])
            for r in corpus.rows("clips")} == {
                k: (s["text"], s["text_source"], s["text_reason"]) for k, s in samples.items()}
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
    told = dataclasses.replace(plain, transcript_path="x", transcript_sha256="y",
                               transcript_reason="z", caption_paths=["media/a.en.vtt"])
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
