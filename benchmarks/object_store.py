"""An S3 store (moto) in a process of its own on 127.0.0.1, which counts what it is asked.

`python -m benchmarks.object_store` serves until its standard input ends and prints its port.
Beside S3 it answers `/yld-counts` (what was asked so far, by kind) and `/yld-take` (a folder's
files become objects without a request each, as if they had been sent).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote

BUCKET = "corpora"


class Counting:
    """moto's application, with a count of requests."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.counts = inner, Counter[str]()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        if path.startswith("/yld-"):
            if path == "/yld-take":
                asked = parse_qs(query)
                _take(Path(asked["folder"][0]), asked["prefix"][0])
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self.counts).encode()]
        kind = "LIST" if "list-type" in query else environ["REQUEST_METHOD"]
        self.counts[kind] += 1
        return self.inner(environ, start_response)


def _take(folder: Path, prefix: str) -> None:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for path in sorted(folder.iterdir()):
        backend.put_object(BUCKET, f"{prefix}/{path.name}", path.read_bytes())


def main() -> None:
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = Counting(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    print(server.server_port, flush=True)
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


class Store:
    """A served store as its client sees it."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def counts(self) -> Counter[str]:
        """Requests so far, by method; listings by themselves."""
        return Counter(self._asked("/yld-counts"))

    def take(self, folder: Path, prefix: str) -> None:
        """Have the files of a folder as objects below `prefix`."""
        self._asked(f"/yld-take?folder={quote(str(folder))}&prefix={quote(prefix)}")

    def _asked(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path) as answer:
            return json.loads(answer.read())


@contextmanager
def served() -> Iterator[Store]:
    """A store with the bucket `corpora`; `s3://` means it in this process from then on."""
    import s3fs

    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.object_store"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    try:
        store = Store(int(process.stdout.readline()))
        os.environ |= {
            "AWS_ENDPOINT_URL": store.address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(BUCKET)
        yield store
    finally:
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
