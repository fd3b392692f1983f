"""Mirroring to a real S3 server on 127.0.0.1."""

from __future__ import annotations

import pytest

from pipeline.storage import address as place
from pipeline.storage import mirror
from pipeline.storage.own_folder import claim
from pipeline.storage.work_files import WorkFiles
from tests.buckets import served_bucket


@pytest.fixture
def bucket(monkeypatch):
    with served_bucket(monkeypatch) as system:
        yield system


FILES = ("shards/train/train-000000.tar", "SHA256SUMS", "report.html")


def make(root):
    own = claim(root, "corpus")
    for name, content in (
        ("shards/train/train-000000.tar", b"a" * 5000),
        ("SHA256SUMS", b"s"),
        ("report.html", b"<p>"),
        ("work/ledger/x.json", b"{}"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    own.wrote(FILES)


def test_a_corpus_is_mirrored_and_only_changes_are_sent(bucket, tmp_path):
    make(tmp_path)
    place.check("s3://corpora/mine")
    files = WorkFiles(tmp_path / "work", "s3://corpora/mine/work")
    assert mirror.push(tmp_path, files) == 3
    assert bucket.cat_file("corpora/mine/shards/train/train-000000.tar") == b"a" * 5000
    assert not bucket.exists("corpora/mine/work/ledger/x.json")
    assert mirror.push(tmp_path, files) == 0
    (tmp_path / "report.html").write_text("<p>new")
    assert mirror.push(tmp_path, files) == 1
    (tmp_path / "report.html").unlink()
    mirror.push(tmp_path, files)
    bucket.invalidate_cache()
    assert not bucket.exists("corpora/mine/report.html")


def test_a_bucket_that_is_not_there_is_named(bucket):
    with pytest.raises(place.RemoteError, match="s3://nowhere/x cannot be written"):
        place.check("s3://nowhere/x")


def test_the_same_address_has_the_same_staging_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("YLD_CACHE", str(tmp_path))
    first = place.staging_folder("s3://b/c")
    assert first == place.staging_folder("s3://b/c") != place.staging_folder("s3://b/d")
    assert place.is_remote("s3://b/c") and not place.is_remote("/data/c")
    assert not place.is_remote("file:///data/a%20c")
    assert str(place.local_path("file:///data/a%20c")) == "/data/a c"


def test_another_folder_becomes_what_was_mirrored(bucket, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    make(first)
    mirror.push(first, WorkFiles(first / "work", "s3://corpora/two/work"))
    files = WorkFiles(second / "work", "s3://corpora/two/work")
    claim(second, "corpus").about_to_write(["shards/stray.tar"])
    (second / "shards").mkdir(parents=True)
    (second / "shards" / "stray.tar").write_bytes(b"old")
    assert mirror.pull(second, files) == 3
    assert not (second / "shards" / "stray.tar").exists()
    assert (second / "SHA256SUMS").read_bytes() == b"s"
    assert mirror.pull(second, files) == 0
    assert mirror.differences(second, files) == []
    bucket.rm_file("corpora/two/report.html")
    assert [p["where"] for p in mirror.differences(second, files)] == ["report.html"]


def test_work_files_travel_by_name(bucket, tmp_path):
    one = WorkFiles(tmp_path / "one", "s3://corpora/three/work")
    two = WorkFiles(tmp_path / "two", "s3://corpora/three/work")
    (tmp_path / "one" / "shots").mkdir(parents=True)
    (tmp_path / "one" / "shots" / "a.npz").write_bytes(b"abc")
    one.send(["shots/a.npz", "shots/nowhere.npz"])
    two.bring(["shots/a.npz", "shots/nowhere.npz"])
    assert (tmp_path / "two" / "shots" / "a.npz").read_bytes() == b"abc"
    assert two.size("shots/a.npz") == 3 and two.size("shots/nowhere.npz") is None
    one.send_later("ledger/x.json", b"{}")
    one.flush()
    assert two.listed("ledger") == ["ledger/x.json"] and two.read("ledger/x.json") == "{}"
    two.drop(["shots/a.npz"])
    assert not bucket.exists("corpora/three/work/shots/a.npz")
    with pytest.raises(ValueError, match="no name of a work file"):
        two.bring(["../../etc/passwd"])


def test_a_node_drops_what_was_longest_unused(tmp_path):
    import os
    import time

    import fsspec

    files = WorkFiles(tmp_path, "memory://corpora/four/work")
    for name in ("old", "newer", "in_use"):  # only copies of what the address has are dropped
        fsspec.filesystem("memory").pipe_file(
            f"memory://corpora/four/work/media/{name}", b"0" * 1000
        )
    (tmp_path / "media").mkdir()
    for age_s, name in ((9000, "old"), (8000, "newer"), (10, "in_use")):
        path = tmp_path / "media" / name
        path.write_bytes(b"0" * 1000)
        os.utime(path, (time.time() - age_s,) * 2)
    assert files.trim(2000 / 1e9, ["media"]) == 1000
    assert sorted(p.name for p in (tmp_path / "media").iterdir()) == ["in_use", "newer"]
    assert files.trim(0.0, ["media"]) == 1000
    assert WorkFiles(tmp_path).trim(0.0, ["media"]) == 0
    assert (tmp_path / "media" / "in_use").exists()
