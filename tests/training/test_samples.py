"""Corpora become numbered samples: which, in what order, what was left out, and why."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manifests.corpus import Corpus
from manifests.shards import SampleIndex, ShardError, ShardSample, write_samples
from tests.readable import FRAMES, Readable
from tests.training.corpora import plain
from training.data.samples import Samples
from training.data.wanted import Wanted
from training.models.catalogue import KINDS


def keys(samples: Samples) -> list[str]:
    return [sample.key for sample in samples]


def test_samples_are_numbered_over_all_shards(tmp_path):
    samples = Samples.of(plain(tmp_path / "c", [3, 0, 4]), "train")
    assert len(samples) == 7 and keys(samples) == [f"a-{n:04d}" for n in range(7)]
    assert samples[5].members["face.mp4"] == b"a5" and samples[5].facts["num_frames"] == 6
    assert samples.name == "c" and samples.left_out_sentence() == "nothing was left out."
    with pytest.raises(IndexError, match="no sample 7"):
        samples[7]


def test_a_sample_is_one_read(tmp_path, monkeypatch):
    samples = Samples.of(plain(tmp_path, [5]), "train")
    reads = []
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda *a: reads.append(a[0]) or read(*a))
    assert samples[2].members.keys() == {"json", "face.mp4"}
    assert len(reads) == 1


def test_members_that_lie_apart_are_read_one_by_one(tmp_path):
    """A foreign tar; nothing between them is read."""
    path = tmp_path / "train" / "0.tar"
    path.parent.mkdir()
    content = {"k.json": b"{}", "big.bin": b"x" * 2**20, "k.face.mp4": b"face"}
    with tarfile.open(path, "w") as tar:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    samples = Samples.of(tmp_path, "train")
    assert samples[0].members == {"json": b"{}", "face.mp4": b"face"}
    assert samples[1].members == {"bin": b"x" * 2**20} and len(samples) == 2


def test_our_corpus_is_filtered_by_its_tables(tmp_path):
    root = tmp_path / "corpus"
    Readable(root, 6).publish()
    rows = [row for row in Corpus(root).rows("samples") if row["split"] == "train"]
    every = Samples.of(root, "train")
    assert sorted(keys(every)) == sorted(row["clip_id"] for row in rows)
    assert every.content is not None
    assert every[0].faces().shape == (FRAMES, 256, 256, 3)
    measured = Samples.of(root, "train", Wanted(offset_statuses=frozenset({"measured"})))
    assert {s.facts["offset_status"] for s in measured} == {"measured"}
    assert measured.left_out == {"with offset_status undecided": len(every) - len(measured)}
    assert measured.numbering != every.numbering
    with pytest.raises(ValueError, match=r"no sample of train .*\(12 of fewer than 26"):
        Samples.of(root, "train", Wanted(min_frames=FRAMES + 1))
    for table in (root / "manifests" / "clips").iterdir():
        table.write_bytes(b"x")
    with pytest.raises(ValueError, match="is damaged, or no table of ours"):
        Samples.of(root, "train", Wanted(min_frames=2))


def test_shards_without_tables_are_filtered_by_their_own_json(tmp_path):
    wanted = Wanted(frozenset({"face.mp4"}), 3, frozenset({"measured"}))
    samples = Samples.of(plain(tmp_path, [9]), "train", wanted)
    assert keys(samples) == ["a-0002", "a-0004", "a-0005", "a-0007", "a-0008"]
    assert samples.left_out == {"of fewer than 3 frames": 2, "without offset_status": 2}
    assert samples.left_out_sentence().startswith("4 were left out (2 ")
    with pytest.raises(ValueError, match=r"no sample of train .*\(9 without audio\.flac"):
        Samples.of(tmp_path, "train", Wanted(members=frozenset({"audio.flac"})))


@pytest.mark.parametrize("model", KINDS)
def test_every_model_takes_repacked_samples(model):
    """What their frames are is seen when they are read."""
    kind = KINDS[model]
    wanted = kind.wanted(kind.presets["paper"]())
    others = {"audio.flac", "audio.wide.flac", "landmarks.npy"}
    assert wanted.lacking({"frames.json", *others}) is None
    assert wanted.lacking({"face.mp4", *others}) is None
    assert wanted.lacking(others) == "without face.mp4"


def test_a_sample_of_which_nothing_is_known_is_left_out(tmp_path):
    (tmp_path / "x-0.tar").touch()
    with open(tmp_path / "x-0.tar", "wb") as file:
        write_samples(file, [ShardSample("k", {"face.mp4": b"x"})])
    assert keys(Samples.of(tmp_path, "x")) == ["k"]
    with pytest.raises(ValueError, match="1 of an unknown number of frames"):
        Samples.of(tmp_path, "x", Wanted(min_frames=2))


def test_parts_are_folders_or_beginnings_of_names(tmp_path):
    root = plain(tmp_path / "c", [2, 2])
    shutil.copytree(root / "train", root / "val")
    assert len(Samples.of(root, "val")) == 4 and len(Samples.of(root, "all")) == 8
    with pytest.raises(ValueError, match=r"no part test: there are train \(2 shards\), val"):
        Samples.of(root, "test")
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(root / "train" / "000000.tar", flat / "dev-clean-000000.tar")
    assert len(Samples.of(flat, "dev-clean")) == 2
    with pytest.raises(ValueError, match=r"no shards \(\*\.tar\)"):
        Samples.of(tmp_path / "nowhere", "train")


def test_the_same_corpus_is_known_again_and_another_is_not(tmp_path):
    root = plain(tmp_path / "c", [3, 4])
    samples = Samples.of(root, "train")
    moved = Samples.of(shutil.copytree(root, tmp_path / "elsewhere"), "train")
    assert moved.numbering == samples.numbering and moved.content is None
    other = Samples.of(plain(tmp_path / "other", [4, 3]), "train")
    assert other.numbering != samples.numbering
    names = ["train/000000.tar", "train/000001.tar"]
    (root / "SHA256SUMS").write_text("".join(f"{n}{n}  {name}\n" for n, name in enumerate(names)))
    listed = Samples.of(root, "train")
    assert listed.content and listed.numbering == samples.numbering


def test_a_shard_that_changes_or_goes_is_named(tmp_path):
    root = plain(tmp_path / "c", [3])
    samples, path = Samples.of(root, "train"), root / "train" / "000000.tar"
    content = path.read_bytes()
    path.write_bytes(b"x" * len(content))
    with pytest.raises(ShardError, match=r"000000\.tar does not hold a-0001 .*yld verify"):
        samples[1]
    path.write_bytes(content[:2000])
    with pytest.raises(ShardError, match="does not hold a-0001"):
        samples[1]
    path.unlink()
    with pytest.raises(ShardError, match=r"a-0001 cannot be read: .*000000\.tar is not there"):
        samples[1]


@pytest.mark.parametrize("has_index", [True, False])
def test_a_shard_of_the_same_sizes_gives_no_other_samples_bytes(tmp_path, has_index):
    samples = Samples.of(plain(tmp_path, [3], has_index=has_index), "train")
    plain(tmp_path, [3], word="b", has_index=False)
    with pytest.raises(ShardError, match="does not hold a-0001"):
        samples[1]


def test_names_in_headers_of_their_own_are_numbered(tmp_path):
    path = tmp_path / "train" / "0.tar"
    path.parent.mkdir()
    names = ["é.json", f"{'long' * 40}.json", "k.json"]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
    samples = Samples.of(tmp_path, "train")
    assert [f"{s.key}.json" for s in samples] == names and samples[1].members["json"] == b"{}"


def test_shards_without_an_index_give_the_same_numbers(tmp_path):
    bare = plain(tmp_path / "bare", [3, 4], has_index=False)
    assert not list(bare.rglob(".*.json"))
    indexed = plain(tmp_path / "indexed", [3, 4])
    assert Samples.of(bare, "train").numbering == Samples.of(indexed, "train").numbering
    assert SampleIndex.of(bare / "train" / "000000.tar").spans("a-0001").keys() == {
        "json",
        "face.mp4",
    }


def test_a_table_of_an_older_release_is_named(tmp_path):
    root = tmp_path / "corpus"
    Readable(root, 2).publish()
    (part,) = (root / "manifests" / "clips").iterdir()
    pq.write_table(pq.read_table(part).drop_columns(["offset_status"]), part)
    with pytest.raises(ValueError, match=r"part-.*parquet has no column offset_status; build aga"):
        Samples.of(root, "train", Wanted(min_frames=2))


def test_the_page_is_right(tmp_path, monkeypatch, capsys):
    """Its blocks run on a corpus of ours, one after the other."""
    Readable(tmp_path / "my-corpus", 6).publish()
    page = Path(__file__).resolve().parents[2] / "docs" / "training.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), str(page), "exec"), names := {})
    names["loader"].close()
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "12 nothing was left out."
    assert told[1:3] == [f"{s} torch.Size([8, 25, 68, 2]) tensor(True)" for s in (1, 2)]
    shapes = "torch.Size([8, 25, 64, 64]) torch.Size([8, 100, 80])"
    assert [line[: len(shapes)] for line in told[3:5]] == [shapes] * 2
    assert told[5].endswith("torch.Size([25, 64, 64])")  # of the stream
    assert told[6].startswith("A worker decodes ") and len(told) == 7
    assert names["again"].step == 2
