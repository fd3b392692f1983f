"""Corpora at an address: the same samples as in a folder, one request each, cached on the node."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from manifests.frames import Frames, PartlyRead, members_of
from manifests.shards import SampleIndex, ShardError, ShardSample, index_name, write_samples
from tests.buckets import served_bucket
from tests.factories import ONE_SHARD
from tests.readable import Readable
from tests.training.corpora import decode, plain
from training.data import object_store
from training.data.loader import Loader, Share, mixture_of
from training.data.mixture import TrainingPlan
from training.data.samples import Samples
from training.data.wanted import Wanted


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setattr(object_store, "RETRY_PAUSES_S", (0.01,))
    with served_bucket(monkeypatch) as system:
        for name in system.ls("corpora"):  # the server remembers other tests' files
            system.rm(name, recursive=True)
        system.invalidate_cache()
        yield system


@pytest.fixture
def requests(bucket, monkeypatch) -> list[tuple[str, str]]:
    """(key, range) of what was got from the bucket, in order."""
    import s3fs

    made: list[tuple[str, str]] = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self, method, *words, **named):
        if method in ("get_object", "head_object"):
            made.append((named["Key"], named.get("Range", method)))
        return await call(self, method, *words, **named)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    return made


def sent(bucket, root: Path, name: str) -> str:
    for path in root.rglob("*"):
        if path.is_file():
            bucket.pipe_file(f"corpora/{name}/{path.relative_to(root)}", path.read_bytes())
    return f"s3://corpora/{name}"


def test_an_index_is_one_request_and_a_sample_is_one(bucket, requests, tmp_path):
    root = plain(tmp_path / "c", [3, 0, 4])
    address = sent(bucket, root, "c")
    samples = Samples.of(address, "train")
    shards = [f"c/train/00000{number}.tar" for number in range(3)]
    asked = Counter(key for key, _ in requests)
    assert asked == Counter([*shards, *map(index_name, shards)])
    assert all(_length(range_) == 512 for key, range_ in requests if key in shards)
    requests.clear()
    assert samples[5].members == Samples.of(root, "train")[5].members
    assert len(requests) == 1 and requests[0][0] == "c/train/000002.tar"
    assert requests[0][1].startswith("bytes=")
    folder = Samples.of(root, "train")
    assert len(samples) == 7 and samples.numbering == folder.numbering
    assert samples.name == "c" and samples.root == address
    assert [s.members for s in samples] == [s.members for s in folder]
    assert samples[5].shard == f"{address}/train/000002.tar"


def test_a_run_goes_on_from_a_folder_at_an_address(bucket, tmp_path):
    root = plain(tmp_path / "c", [9])
    (root / "SHA256SUMS").write_text("aa  train/000000.tar\n")
    local, remote = Samples.of(root, "train"), Samples.of(sent(bucket, root, "c"), "train")
    assert local.content == remote.content is not None
    first, second = (
        Loader([samples], decode, TrainingPlan(mixture_of([samples], seed=1), 4))
        for samples in (local, remote)
    )
    batches = iter(first)
    next(batches)
    second.load_state_dict(first.state_dict())
    assert next(batches)["key"] == next(iter(second))["key"]


def test_a_shard_without_an_index_that_fits_is_indexed_by_its_headers(bucket, requests, tmp_path):
    root = plain(tmp_path / "c", [3], has_index=False)
    big = tmp_path / "big.tar"
    with tarfile.open(big, "w") as tar:
        for name in ("x.json", "x.bin", "y.json", "y.bin"):
            member = tarfile.TarInfo(name)
            member.size = 300_000
            tar.addfile(member, _Zeros(member.size))
    (root / "train" / "000001.tar").write_bytes(big.read_bytes())
    (root / "train" / ".000000.index.json").write_text('{"samples": {}}')
    address = sent(bucket, root, "c")
    requests.clear()
    samples = Samples.of(address, "train", cache_dir=tmp_path / "cache")
    asked = [range_ for key, range_ in requests if key == "c/train/000001.tar"]
    assert sum(_length(r) for r in asked) < 100_000 < big.stat().st_size
    folder = Samples.of(root, "train")
    assert samples.numbering == folder.numbering
    assert [s.key for s in samples] == [s.key for s in folder]
    assert samples[4].members == folder[4].members
    requests.clear()
    again = Samples.of(address, "train", cache_dir=tmp_path / "cache")
    assert not requests
    assert again.numbering == samples.numbering and again[4].members == samples[4].members


class _Zeros:
    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


def _length(range_: str) -> int:
    first, last = range_.removeprefix("bytes=").split("-")
    return int(last) - int(first) + 1


def test_an_index_that_lacks_the_last_sample_does_not_count(bucket, tmp_path):
    """The tars' padding makes them of one size."""
    root = plain(tmp_path / "c", [3])
    index = root / "train" / ".000000.index.json"
    told = json.loads(index.read_text())
    del told["samples"]["a-0002"]
    index.write_text(json.dumps(told))
    assert len(Samples.of(sent(bucket, root, "c"), "train")) == 3


def test_our_corpus_is_filtered_by_its_tables_there(bucket, requests, tmp_path):
    root = tmp_path / "corpus"
    Readable(root, 6).publish(ONE_SHARD)
    wanted = Wanted(offset_statuses=frozenset({"measured"}))
    address = sent(bucket, root, "mine")
    requests.clear()
    remote, local = Samples.of(address, "train", wanted), Samples.of(root, "train", wanted)
    assert remote.numbering == local.numbering and remote.content == local.content
    assert remote.left_out == local.left_out
    assert sum(_length(r) for key, r in requests if key.endswith(".tar")) <= 512
    table = next((root / "manifests" / "clips").iterdir())
    bucket.pipe_file(f"corpora/mine/manifests/clips/{table.name}", b"x")
    with pytest.raises(ValueError, match=r"s3://corpora/mine/manifests/clips/.* is damaged"):
        Samples.of(address, "train", wanted)


def test_parts_are_looked_for_where_a_folders_are(bucket, tmp_path):
    root = plain(tmp_path / "c", [2, 2])
    shutil.copytree(root / "train", root / "shards" / "val")
    shutil.copy(root / "train" / "000000.tar", root / "stray-000000.tar")
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(root / "train" / "000000.tar", flat / "dev-clean-000000.tar")
    for folder, split in ((root, "all"), (root, "val"), (flat, "dev-clean")):
        there = Samples.of(sent(bucket, folder, folder.name), split)
        assert there.numbering == Samples.of(folder, split).numbering
    with pytest.raises(ValueError, match=r"no part train: there are val \(2 shards\)"):
        Samples.of("s3://corpora/c", "train")


def test_plain_shards_are_filtered_there_by_their_own_json(bucket, tmp_path):
    wanted = Wanted(frozenset({"face.mp4"}), 3, frozenset({"measured"}))
    samples = Samples.of(sent(bucket, plain(tmp_path, [9]), "c"), "train", wanted)
    assert [s.key for s in samples] == ["a-0002", "a-0004", "a-0005", "a-0007", "a-0008"]


def test_a_second_pass_comes_from_the_nodes_cache(bucket, requests, tmp_path):
    address = sent(bucket, plain(tmp_path / "c", [5]), "c")
    samples = Samples.of(address, "train", cache_dir=tmp_path / "cache", cache_max_gb=0.001)
    first = [s.members for s in samples]
    requests.clear()
    assert Samples.of(address, "train", cache_dir=tmp_path / "cache").numbering
    assert not requests  # for the index
    other_process = pickle.loads(pickle.dumps(samples))
    assert [s.members for s in other_process] == first and not requests
    sent(bucket, plain(tmp_path / "c", [5], word="b"), "c")  # the same sizes, other content
    anew = Samples.of(address, "train", cache_dir=tmp_path / "cache", cache_max_gb=0.001)
    assert anew[0].key == "b-0000" and anew[0].members["face.mp4"] == b"b0"


PICTURES = np.random.default_rng(1).integers(0, 256, (9, 12, 16), np.uint8)


def repacked(root: Path, codec: str, has_index: bool = True) -> Path:
    """Two samples of nine grey frames."""
    path = root / "train" / "000000.tar"
    path.parent.mkdir(parents=True)
    members = {"json": b'{"num_frames": 9}', **members_of(PICTURES, "lip", codec, 95)}
    with open(path, "wb") as file:
        write_samples(file, [ShardSample(key, members) for key in "ab"])
    if has_index:
        SampleIndex.scan(path).write()
    return root


def window(sample: ShardSample, first: int, count: int) -> np.ndarray:
    frames = Frames.of(sample)
    assert frames is not None
    return frames.window(sample, first, count)


@pytest.mark.parametrize("has_index", [True, False])
@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_of_repacked_samples_the_window_is_one_request(
    bucket, requests, tmp_path, codec, has_index
):
    root = repacked(tmp_path / "c", codec, has_index)
    remote, folder = Samples.of(sent(bucket, root, "c"), "train"), Samples.of(root, "train")
    requests.clear()
    sample, local = remote[1], folder[1]
    assert isinstance(sample.members, PartlyRead) and isinstance(local.members, PartlyRead)
    assert sample.facts == {"num_frames": 9} and len(requests) == 1, "all else"
    found = window(sample, 2, 3)
    np.testing.assert_array_equal(found, window(local, 2, 3))
    assert found.flags.writeable and len(requests) == 2
    if codec == "raw":
        np.testing.assert_array_equal(found, PICTURES[2:5])
        assert _length(requests[1][1]) == 3 * 12 * 16
    other_process = pickle.loads(pickle.dumps(sample))
    np.testing.assert_array_equal(window(other_process, 2, 3), found)
    assert sample.members == local.members and sample.sha256() == local.sha256()


def test_with_a_cache_frames_come_once_and_windows_from_them(bucket, requests, tmp_path):
    address = sent(bucket, repacked(tmp_path / "c", "raw"), "c")
    samples = Samples.of(address, "train", cache_dir=tmp_path / "cache")
    requests.clear()
    np.testing.assert_array_equal(window(samples[0], 2, 3), PICTURES[2:5])
    assert len(requests) == 2
    np.testing.assert_array_equal(window(samples[0], 5, 4), PICTURES[5:])
    assert len(requests) == 2


def test_repacked_frames_that_are_gone_are_told_with_their_address(bucket, tmp_path):
    address = sent(bucket, repacked(tmp_path / "c", "raw"), "c")
    sample = Samples.of(address, "train")[1]
    name = "corpora/c/train/000000.tar"
    bucket.pipe_file(name, bucket.cat_file(name)[:4000])
    with pytest.raises(ShardError, match=r"s3://corpora/c/train/000000\.tar"):
        window(sample, 2, 3)


def test_what_is_wrong_is_told_with_the_address_and_the_remedy(bucket, tmp_path):
    with pytest.raises(ValueError, match=r"s3://nowhere/x has no shards"):
        Samples.of("s3://nowhere/x", "train")
    root = plain(tmp_path / "c", [3])
    address = sent(bucket, root, "c")
    with pytest.raises(ValueError, match=r"s3://corpora/c has no part test: there are train"):
        Samples.of(address, "test")
    samples = Samples.of(address, "train")
    content = (root / "train" / "000000.tar").read_bytes()
    bucket.pipe_file("corpora/c/train/000000.tar", b"x" * len(content))
    with pytest.raises(ShardError, match=r"s3://corpora/c/train/000000\.tar does not hold a-0001"):
        samples[1]
    bucket.pipe_file("corpora/c/train/000000.tar", content[:600])
    with pytest.raises(
        ShardError, match=r"s3://corpora/c/train/000000\.tar (does not hold|cannot)"
    ):
        samples[1]
    bucket.rm_file("corpora/c/train/000000.tar")
    with pytest.raises(ShardError, match=r"c/train/000000\.tar is no longer there; put it back"):
        samples[1]
    bucket.pipe_file("corpora/c/train/000000.tar", b"no tar" * 500)
    with pytest.raises(ShardError, match=r"000000\.tar cannot be read as a tar .*send it there ag"):
        Samples.of(address, "train")
    with pytest.raises(ShardError, match=r"nosuch://x/y cannot be read: .*; look at the address"):
        Samples.of("nosuch://x/y", "train")


def test_a_store_that_fails_once_is_asked_again(bucket, tmp_path, monkeypatch):
    samples = Samples.of(sent(bucket, plain(tmp_path / "c", [3]), "c"), "train")
    import s3fs

    call, failures = s3fs.S3FileSystem._call_s3, [OSError("reset"), OSError("reset")]

    async def sometimes(self, *words, **named):
        if failures:
            raise failures.pop()
        return await call(self, *words, **named)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", sometimes)
    with pytest.raises(ShardError, match=r"cannot be read: OSError: reset; look at the address"):
        samples[0]
    failures.append(OSError("reset"))
    assert samples[0].key == "a-0000"


def test_any_file_system_of_fsspec_will_do(tmp_path):
    import fsspec

    root = plain(tmp_path / "c", [3])
    memory = fsspec.filesystem("memory")
    for path in (root / "train").iterdir():
        memory.pipe_file(f"/corpora/c/train/{path.name}", path.read_bytes())
    samples = Samples.of("memory://corpora/c", "train")
    assert [s.members for s in samples] == [s.members for s in Samples.of(root, "train")]
    assert Samples.of(f"file://{root}", "train").root == root


def test_a_forked_process_opens_connections_of_its_own(bucket, tmp_path):
    samples = Samples.of(sent(bucket, plain(tmp_path / "c", [5]), "c"), "train")
    expected = [s.members for s in samples]
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if [s.members for s in samples] == expected else 2
        finally:
            os._exit(code)
    assert [s.members for s in samples] == expected
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [s.members for s in samples] == expected


def text(sample: ShardSample, row) -> dict[str, str]:
    return {"text": sample.members["face.mp4"].decode()}


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["spawn", "fork"])
def test_workers_read_from_an_address(bucket, tmp_path, start_method):
    address = sent(bucket, plain(tmp_path / "c", [7]), "c")
    samples = Samples.of(address, "train", cache_dir=tmp_path / "cache")
    plan = TrainingPlan(mixture_of([samples], seed=1), 4)
    alone = [batch["text"] for batch in Loader([samples], text, plan)]
    made = Loader([samples], text, plan, Share(num_workers=2, start_method=start_method))
    assert [batch["text"] for batch in made] == alone
    made.close()
