"""Mirroring to a real S3 server on 127.0.0.1."""

from __future__ import annotations

import pytest

from pipeline import remote


@pytest.fixture
def bucket(monkeypatch):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
        "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem(endpoint_url=f"http://{host}:{port}", key="test", secret="test")
    if not system.exists("corpora"):
        system.mkdir("corpora")
    yield system
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def make(root):
    for name, content in (("shards/train/train-000000.tar", b"a" * 5000), ("SHA256SUMS", b"s"),
                          ("report.html", b"<p>"), ("work/ledger/x.json", b"{}")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def test_a_corpus_is_mirrored_and_only_changes_are_sent(bucket, tmp_path):
    make(tmp_path)
    remote.check("s3://corpora/mine")
    assert remote.push(tmp_path, "s3://corpora/mine") == 3
    assert bucket.cat_file("corpora/mine/shards/train/train-000000.tar") == b"a" * 5000
    assert not bucket.exists("corpora/mine/work/ledger/x.json")
    assert remote.push(tmp_path, "s3://corpora/mine") == 0
    (tmp_path / "report.html").write_text("<p>new")
    assert remote.push(tmp_path, "s3://corpora/mine") == 1
    (tmp_path / "report.html").unlink()
    remote.push(tmp_path, "s3://corpora/mine")
    bucket.invalidate_cache()
    assert not bucket.exists("corpora/mine/report.html")


def test_a_bucket_that_is_not_there_is_named(bucket):
    with pytest.raises(remote.RemoteError, match="s3://nowhere/x cannot be written"):
        remote.check("s3://nowhere/x")


def test_the_same_address_has_the_same_staging_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("YLD_CACHE", str(tmp_path))
    first = remote.staging_folder("s3://b/c")
    assert first == remote.staging_folder("s3://b/c") != remote.staging_folder("s3://b/d")
    assert remote.is_remote("s3://b/c") and not remote.is_remote("/data/c")
