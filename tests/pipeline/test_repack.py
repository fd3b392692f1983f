"""`yld shards repack`: the same samples with a crop's frames for faces; stopped runs go on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from manifests.corpus import Corpus
from manifests.crops import crop
from manifests.frames import Frames
from manifests.shards import SampleIndex, ShardError, index_name, read_samples
from pipeline.cli import main
from pipeline.corpus import repack as module
from pipeline.corpus.packing import Packing
from pipeline.corpus.repack import repack
from pipeline.corpus.verify import verify
from pipeline.storage.lock import CorpusBusyError, CorpusLock
from pipeline.storage.own_folder import FileInTheWayError, NotOursError
from tests.readable import Readable
from training.data.samples import ALL, Samples
from training.data.wanted import Wanted

RAW, JPEG = Packing("lip", "raw"), Packing("lip", "jpeg", 95)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("repack") / "my-corpus"
    Readable(root, 5).publish()
    return root


def shards(root: Path) -> dict[str, bytes]:
    found = (root / "shards").glob("*/*.tar")
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(found)}


def members(root: Path) -> dict[str, dict[str, bytes]]:
    return {s.key: dict(s.members) for name in shards(root) for s in read_samples(root / name)}


@pytest.mark.parametrize("packing", [RAW, JPEG], ids=["raw", "jpeg"])
def test_all_but_the_faces_is_the_same_byte_for_byte(corpus, tmp_path, packing):
    before, faces = members(corpus), next(iter(read_samples(corpus / next(iter(shards(corpus))))))
    done = repack(corpus, tmp_path / "r", packing)
    after = members(tmp_path / "r")
    assert list(after) == list(before), "the same samples in the same order"
    for key, found in after.items():
        new = {name for name in found if name.startswith("frames.")}
        assert {n: c for n, c in found.items() if n not in new} == {
            n: c for n, c in before[key].items() if n != "face.mp4"
        }
        assert new == {"frames.json", "frames.npy" if packing is RAW else "frames.mjpeg"}
    assert len(Samples.of(tmp_path / "r", ALL, Wanted(frozenset({"face.mp4"})))) == len(before)
    sample = Samples.of(tmp_path / "r", ALL)[0]
    found, expected = Frames.of(sample).window(sample), crop(faces.faces(), "lip")
    if packing is RAW:
        np.testing.assert_array_equal(found, expected)
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < 3
    assert (done.samples, done.frames, done.shards) == (10, 250, len(shards(corpus)))


def test_it_is_a_corpus_with_tables_seal_and_indexes(corpus, tmp_path):
    out = tmp_path / "r"
    repack(corpus, out, RAW)
    names = list(shards(out))
    assert names == list(shards(corpus))
    assert all((out / index_name(name)).is_file() for name in names)
    sealed = [line.split("  ")[1] for line in (out / "SHA256SUMS").read_text().splitlines()]
    assert sealed == sorted([*names, "repack.json"])
    told = {p["where"]: p["problem"] for p in verify(corpus)}
    assert {p["where"]: p["problem"] for p in verify(out)} == told, "no problem of its own"
    for row in Corpus(out).rows("samples"):
        assert Corpus(out).sample(row).sha256() == row["sha256"]
    for table in ("clips", "sources"):
        assert Corpus(out).rows(table) == Corpus(corpus).rows(table)
    measured = Wanted(offset_statuses=frozenset({"measured"}), min_frames=20)
    assert [s.key for s in Samples.of(out, ALL, measured)] == [
        s.key for s in Samples.of(corpus, ALL, measured)
    ]
    assert Samples.of(out, ALL).content is not None


def test_verify_finds_what_happened_to_the_frames(corpus, tmp_path):
    out = tmp_path / "r"
    repack(corpus, out, JPEG)
    path = out / next(iter(shards(out)))
    span = SampleIndex.scan(path).spans(SampleIndex.scan(path).keys[0])["frames.mjpeg"]
    content = bytearray(path.read_bytes())
    content[span.first_byte : span.first_byte + 400] = bytes(400)
    path.write_bytes(content)
    found = {p["problem"] for p in verify(out)} - {p["problem"] for p in verify(corpus)}
    assert any("frames.mjpeg" in problem for problem in found)


def test_two_runs_give_the_same_bytes_and_the_second_does_nothing(corpus, tmp_path, monkeypatch):
    repack(corpus, tmp_path / "a", JPEG)
    repack(corpus, tmp_path / "b", JPEG)
    assert shards(tmp_path / "a") == shards(tmp_path / "b")
    assert (tmp_path / "a/SHA256SUMS").read_text() == (tmp_path / "b/SHA256SUMS").read_text()
    monkeypatch.setattr(module, "write_samples", lambda *_: pytest.fail("written again"))
    repack(corpus, tmp_path / "a", JPEG)
    assert shards(tmp_path / "a") == shards(tmp_path / "b")


def test_a_run_that_was_stopped_goes_on_with_what_is_not_there(corpus, tmp_path, monkeypatch):
    out, written = tmp_path / "r", []

    def stops_at_the_third(stream, samples, real=module.write_samples):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(stream.name)
        real(stream, samples)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_samples", stops_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            repack(corpus, out, RAW)
    assert len(shards(out)) == 2 and not (out / "SHA256SUMS").exists()
    there = {name: os.stat(out / name).st_mtime_ns for name in shards(out)}
    repack(corpus, out, RAW)
    assert {name: os.stat(out / name).st_mtime_ns for name in there} == there
    repack(corpus, tmp_path / "whole", RAW)
    assert shards(out) == shards(tmp_path / "whole")


def test_other_settings_or_another_shard_are_packed_anew(tmp_path):
    root, out = tmp_path / "my-corpus", tmp_path / "r"
    made = Readable(root, 2)
    made.publish()
    repack(root, out, RAW)
    repack(root, out, Packing("mouth", "jpeg", 90))
    assert {Frames.of(s).crop for s in Samples.of(out, ALL)} == {"mouth"}
    assert {Frames.of(s).codec for s in Samples.of(out, ALL)} == {"jpeg"}
    before = shards(out)
    Readable(root, 2, known=lambda _: True).publish()
    repack(root, out, Packing("mouth", "jpeg", 90))
    assert shards(out) != before
    assert members(out).keys() == members(root).keys()
    assert {m["json"] for m in members(out).values()} == {m["json"] for m in members(root).values()}
    repack(root, tmp_path / "other", Packing("mouth", "jpeg", 90))
    assert shards(out) == shards(tmp_path / "other")


def test_a_shard_that_was_damaged_since_is_written_again_and_kept_beside(corpus, tmp_path):
    out = tmp_path / "r"
    repack(corpus, out, RAW)
    whole = shards(out)
    name = next(iter(whole))
    (out / name).write_bytes(b"mine")
    repack(corpus, out, RAW)
    assert shards(out) == whole and (out / f"{name}.changed").read_bytes() == b"mine"


def test_folders_and_files_of_others_are_left_alone(corpus, tmp_path):
    other = tmp_path / "theirs"
    other.mkdir()
    (other / "notes.md").write_text("mine")
    with pytest.raises(NotOursError, match="not made by `yld shards repack`"):
        repack(corpus, other, RAW)
    assert [p.name for p in other.iterdir()] == ["notes.md"]
    for out in (corpus, corpus / "r", corpus.parent):
        with pytest.raises(ValueError, match="lie in each other"):
            repack(corpus, out, RAW)
    out = tmp_path / "r"
    repack(corpus, out, RAW)
    (out / "notes.md").write_text("mine")
    stray = out / "manifests" / "clips" / "part-000001.parquet"
    stray.write_bytes(b"mine")
    before = shards(out)
    with pytest.raises(FileInTheWayError, match="part-000001"):
        repack(corpus, out, JPEG)
    assert shards(out) == before and stray.read_bytes() == b"mine"
    stray.unlink()
    repack(corpus, out, JPEG)
    assert (out / "notes.md").read_text() == "mine"
    with pytest.raises(ValueError, match="was repacked itself"):
        repack(out, tmp_path / "again", RAW)


def test_two_runs_at_a_time_are_refused(corpus, tmp_path):
    repack(corpus, tmp_path / "r", RAW)
    with CorpusLock(tmp_path / "r" / "work"), pytest.raises(CorpusBusyError):
        repack(corpus, tmp_path / "r", RAW)


def test_a_folder_of_plain_tars_is_repacked_too(corpus, tmp_path):
    for name, content in shards(corpus).items():
        path = tmp_path / "plain" / name.removeprefix("shards/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    repack(tmp_path / "plain", tmp_path / "r", RAW)
    assert len(Samples.of(tmp_path / "r", ALL)) == 10 and not (tmp_path / "r/manifests").exists()


def test_a_damaged_face_stops_it_and_is_named(corpus, tmp_path):
    sample = next(iter(read_samples(corpus / next(iter(shards(corpus))))))
    whole = sample.members["face.mp4"]
    for face in (b"no video", whole[: len(whole) // 2]):
        broken = type(sample)("k", {**sample.members, "face.mp4": face}, "x.tar")
        with pytest.raises(ShardError, match=r"x\.tar: k is damaged.*face\.mp4"):
            RAW.applied(broken)
    fewer = sample.with_facts(sample.facts | {"num_frames": 30})
    with pytest.raises(ShardError, match="25 frames, json says 30"):
        RAW.applied(fewer)


def test_the_command_tells_what_it_made_and_clean_removes_it(corpus, tmp_path):
    arguments = ["shards", "repack", str(corpus), "--out", str(tmp_path / "r"), "--crop", "lip"]
    done = CliRunner().invoke(main, [*arguments, "--codec", "jpeg", "--quality", "80", "--json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert (row["samples"], row["frames"], row["quality"]) == (10, 250, 80)
    assert (row["height_px"], row["width_px"], row["codec"]) == (96, 96, "jpeg")
    assert CliRunner().invoke(main, [*arguments, "--codec", "png"]).exit_code == 2
    done = CliRunner().invoke(main, ["clean", str(tmp_path / "r"), "--yes"])
    assert done.exit_code == 0 and list((tmp_path / "r").iterdir()) == []
