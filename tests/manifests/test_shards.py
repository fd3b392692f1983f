"""Samples are read one at a time, by an index that is never believed against the tar."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from manifests.corpus import Corpus, shards_of
from manifests.shards import (
    SampleError,
    SampleIndex,
    ShardError,
    ShardSample,
    index_name,
    read_samples,
    write_samples,
)
from manifests.spans import NotThereError
from manifests.spans import _header as read_header
from tests.factories import ONE_SHARD
from tests.readable import FRAMES, Readable


def sample(key: str, word: str = "a") -> ShardSample:
    return ShardSample(
        key, {"json": json.dumps({"word": word}).encode(), "face.mp4": key.encode() * 300}
    )


@pytest.fixture
def shard(tmp_path):
    """Keys of which some begin as others do, in no order."""
    path = tmp_path / "x.tar"
    with open(path, "wb") as file:
        write_samples(file, [sample(k) for k in ("b", "a", "a-1", "a-10", "é" * 40)])
    return path


def contents(path):
    return [(s.key, dict(s.members)) for s in read_samples(path)]


def test_the_index_gives_what_the_tar_gives(shard):
    with tarfile.open(shard) as tar:
        expected = {m.name: tar.extractfile(m).read() for m in tar}
    scanned = contents(shard)
    assert {f"{k}.{s}": v for k, parts in scanned for s, v in parts.items()} == expected
    assert [k for k, _ in scanned] == ["b", "a", "a-1", "a-10", "é" * 40]
    SampleIndex.of(shard).write()
    assert contents(shard) == scanned
    index = SampleIndex.of(shard)
    assert len(index) == 5 and index[3].key == "a-10" and index["a"].facts == {"word": "a"}
    with pytest.raises(KeyError):
        index["c"]


def test_one_sample_is_read_without_the_rest(shard, monkeypatch):
    SampleIndex.of(shard).write()
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("the tar was scanned"))
    assert SampleIndex.of(shard)["a-10"].members["face.mp4"] == b"a-10" * 300


@pytest.mark.parametrize(
    "damage",
    [
        "not json",
        "{}",
        "[]",
        '{"num_bytes": 1, "samples": {}}',
        "[" * 100_000,
        '{"num_bytes": 1, "samples": {"a": {"json": [Infinity, 1e999]}}}',
    ],
    ids=["text", "empty", "list", "another's", "nested", "infinite"],
)
def test_an_index_that_cannot_be_is_made_again(shard, damage):
    expected = contents(shard)
    Path(index_name(str(shard))).write_text(damage)
    assert contents(shard) == expected


@pytest.mark.parametrize(
    "damage",
    [
        lambda samples: samples.pop("a"),
        lambda samples: samples["a"].pop("json"),
        lambda samples: samples["a"].update(json=[0, 10]),
        lambda samples: samples.update(z={}),
        lambda samples: samples["a"]["json"].__setitem__(1, 10**15),
        lambda samples: samples["a"]["json"].__setitem__(1, -5),
    ],
)
def test_an_index_that_lacks_or_invents_something_is_made_again(shard, damage):
    expected = contents(shard)
    SampleIndex.of(shard).write()
    index = Path(index_name(str(shard)))
    told = json.loads(index.read_text())
    damage(told["samples"])
    index.write_text(json.dumps(told))
    assert contents(shard) == expected
    assert [(s.key, dict(s.members)) for s in SampleIndex.of(shard)] == expected


def test_an_index_from_before_a_sample_came_hides_nothing(shard):
    with open(shard, "wb") as file:
        write_samples(file, [sample(k) for k in ("b", "a")])
    SampleIndex.of(shard).write()
    before = shard.stat().st_size
    with open(shard, "wb") as file:
        write_samples(file, [sample(k) for k in ("b", "a", "c")])
    assert shard.stat().st_size == before, "tars are padded"
    assert SampleIndex.of(shard).keys == ["b", "a", "c"]


def test_an_index_with_another_name_at_the_same_place_finds_what_is_there(shard):
    with open(shard, "wb") as file:
        write_samples(file, [sample(k) for k in ("b", "c")])
    SampleIndex.of(shard).write()
    with open(shard, "wb") as file:
        write_samples(file, [sample(k) for k in ("b", "d")])
    assert [k for k, _ in contents(shard)] == ["b", "d"]
    assert SampleIndex.of(shard)["d"].members == sample("d").members
    assert SampleIndex.of(shard)[np.int64(1)].key == "d"
    with pytest.raises(KeyError):
        SampleIndex.of(shard)["c"]


def test_names_in_a_header_of_their_own_are_read(tmp_path):
    path = tmp_path / "others.tar"
    names = ["é.json", f"{'long' * 40}.json", "k.json"]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
    SampleIndex.scan(path).write()
    for index in (SampleIndex.scan(path), SampleIndex.of(path)):
        assert [f"{s.key}.json" for s in index] == names


def test_an_index_of_another_tar_of_the_same_size_gives_no_other_samples_bytes(shard):
    SampleIndex.of(shard).write()
    with open(shard, "wb") as file:
        write_samples(file, [sample(k, "z") for k in ("a", "b", "a-1", "a-10", "é" * 40)])
    assert SampleIndex.of(shard)["b"].members == sample("b", "z").members
    assert SampleIndex.of(shard)["a"].members == sample("a", "z").members
    with open(shard, "r+b") as file:  # as long as before, and no tar
        file.write(b"x" * shard.stat().st_size)
    with pytest.raises(ShardError, match=r"x\.tar cannot be read as a tar .*yld verify"):
        SampleIndex.of(shard)["a"]


def test_a_tar_that_is_cut_is_named(shard):
    with open(shard, "r+b") as file:
        file.truncate(2000)
    with pytest.raises(ShardError, match=r"x\.tar cannot be read as a tar"):
        list(read_samples(shard))


@pytest.mark.parametrize(
    "members, why",
    [
        ({}, "landmarks.npy: it is missing"),
        ({"landmarks.npy": b"no array"}, "landmarks.npy: ValueError"),
    ],
)
def test_a_member_that_is_wanting_or_damaged_is_named_when_it_is_asked_for(members, why):
    damaged = ShardSample("k", members, "train-000000.tar")
    with pytest.raises(SampleError, match=why) as error:
        assert damaged.landmarks
    assert str(error.value).startswith("train-000000.tar: k is damaged, or no sample of ours")


def test_a_published_corpus_has_its_indexes_and_gives_its_samples(tmp_path):
    root = tmp_path / "corpus"
    Readable(root, 3).publish()
    corpus = Corpus(root)
    for path in shards_of(root):
        told = json.loads(Path(index_name(str(path))).read_text())
        assert list(told["samples"]) == [s.key for s in SampleIndex.scan(path)]
    for row in corpus.rows("samples"):
        found = corpus.sample(row)
        assert found.sha256() == row["sha256"] and found.num_bytes == row["num_bytes"]
        assert found.faces().shape == (FRAMES, 256, 256, 3)
        assert found.sound.shape == (640 * FRAMES,) and found.sound.dtype == np.int16
        assert found.landmarks.shape == (FRAMES, 68, 2)
    with pytest.raises(ShardError, match="does not hold nobody"):
        corpus.sample(row | {"clip_id": "nobody"})


def test_a_shard_whose_writing_ended_before_its_index_has_none(tmp_path, monkeypatch):
    corpus = Readable(tmp_path / "corpus", 1)
    corpus.publish(ONE_SHARD)
    (path,) = shards_of(tmp_path / "corpus")
    index = Path(index_name(str(path)))
    assert index.exists()
    path.unlink()  # so that it is written again
    with monkeypatch.context() as patch:
        patch.setattr(SampleIndex, "write", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            corpus.publish(ONE_SHARD)
    assert path.exists() and not index.exists()
    corpus.publish(ONE_SHARD)
    assert corpus.seal().count(".tar") == 1 and "index" not in corpus.seal()


def test_the_hash_is_over_names_lengths_and_bytes():
    made = ShardSample("k", {"json": b"{}", "face.mp4": b"xy"})
    assert made.sha256() == hashlib.sha256(b"face.mp4\x002\x00xyjson\x002\x00{}").hexdigest()


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_are_read_as_tarfile_reads_them(kind):
    """Whole and with any one byte changed; what is written by others too."""
    info = tarfile.TarInfo("some/folder/é.face.mp4")
    info.size, info.mode, info.uname = 123_456, 0o644, "who"
    header = info.tobuf(kind)[-512:]
    changed = [bytearray(header) for _ in header]
    for place, content in enumerate(changed):
        content[place] ^= 1 + place % 7
    resummed = []
    for content in changed:
        total = sum(content) - sum(content[148:156]) + 256
        resummed.append(content[:148] + b"%06o\0 " % total + content[156:])
    for content in map(bytes, [header, *changed, *resummed, bytes(512), header[:100]]):
        try:
            told = tarfile.TarInfo.frombuf(content, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            with pytest.raises(NotThereError):
                read_header(content)
        else:
            assert read_header(content) == (told.name, told.size)


def test_a_pipe_where_the_index_would_be_is_not_waited_for(shard):
    expected = contents(shard)
    os.mkfifo(index_name(str(shard)))
    assert SampleIndex.beside(shard) is None and contents(shard) == expected


def test_an_index_that_groups_members_at_another_dot_is_made_again(shard):
    """It names every member rightly, in the tar's order, and would give samples in pieces."""
    SampleIndex.of(shard).write()
    path = Path(index_name(str(shard)))
    told = json.loads(path.read_text())
    torn = {}
    for key, members in told["samples"].items():
        torn[f"{key}.face"] = {"mp4": members["face.mp4"]}
        torn[key] = {"json": members["json"]}
    path.write_text(json.dumps(told | {"samples": torn}))
    assert SampleIndex.beside(shard) is None
    assert SampleIndex.of(shard)["a"].members == sample("a").members


def test_all_samples_come_whatever_keys_an_index_tells(shard):
    SampleIndex.of(shard).write()
    path = Path(index_name(str(shard)))
    path.write_text(path.read_text().replace('"a-10"', '"a-1x"'))
    assert [s.key for s in SampleIndex.of(shard)] == ["b", "a", "a-1", "a-10", "é" * 40]
