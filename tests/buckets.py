"""A real S3 server on 127.0.0.1 with the empty bucket `corpora`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def served_bucket(monkeypatch) -> Iterator[Any]:
    """Its file system; s3:// means it, here and in processes that are started inside."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
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
