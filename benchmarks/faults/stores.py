"""An S3 store that fails: the run goes on, or stops with a sentence and goes on later."""

from __future__ import annotations

import contextlib
import http.client
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from benchmarks.faults.inputs import talks
from benchmarks.faults.runs import Bench, seal
from benchmarks.faults.tally import Tally

LIMIT_S = 600.0
STOPPED = 3


class Faulty(BaseHTTPRequestHandler):
    """Passes requests on to the store, but for `server.faults`: shares of 503 and of cut bodies,
    and the number of requests after which all is 403."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def _pass(self) -> None:
        body = self._body()
        faults, draw = self.server.faults, self.server.rng.random()
        self.server.asked += 1
        if self.server.asked > faults.get("403_after", 10**9):
            self.server.hit += 1
            self._say(403, b"<Error><Code>AccessDenied</Code></Error>")
            return
        if draw < faults.get("503", 0):
            self.server.hit += 1
            self._say(503, b"<Error><Code>SlowDown</Code></Error>")
            return
        store = http.client.HTTPConnection(*self.server.store, timeout=60)
        try:
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("transfer-encoding", "content-length"):
                    store.putheader(name, value)
            store.putheader("Content-Length", str(len(body)))
            store.endheaders(body)
            answer = store.getresponse()
            content = answer.read()
            headers = answer.getheaders()
        finally:
            store.close()
        is_cut = (
            self.command == "GET"
            and len(content) > 1
            and self.server.rng.random() < faults.get("cut", 0)
        )
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_response(answer.status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if is_cut else content)
        if is_cut:
            self.server.hit += 1
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """A door on a free port before `store`; `asked` and `hit` count requests, and those failed."""

    daemon_threads = True

    def __init__(self, store: tuple[str, int], rng: random.Random) -> None:
        super().__init__(("127.0.0.1", 0), Faulty)
        self.store, self.rng = store, rng
        self.faults: dict[str, float] = {}
        self.asked = self.hit = 0

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is no news."""


@contextmanager
def store(rng: random.Random) -> Iterator[tuple[_Server, dict[str, str]]]:
    """moto's S3 on 127.0.0.1 behind a `Faulty` door; the door, and settings that lead to it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    inner = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    inner.start()
    door = _Server(inner.get_host_and_port(), rng)
    Thread(target=door.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{door.server_port}"
    try:
        import s3fs

        system = s3fs.S3FileSystem(
            endpoint_url=address, key="test", secret="test", use_listings_cache=False
        )
        if not system.exists("corpora"):
            system.mkdir("corpora")
        yield (
            door,
            {
                "AWS_ENDPOINT_URL": address,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
        )
    finally:
        door.shutdown()
        door.server_close()
        inner.stop()


def run(bench: Bench, count: int, rng: random.Random, say=print) -> Tally:
    """Builds to an address that fails in turn with 503, cut bodies, and 403 in the middle."""
    tally = Tally("failing S3 store")
    if not count:
        return tally
    with tally.timed(), store(rng) as (door, settings):
        bench.connections.allowed |= {("127.0.0.1", door.server_port)}
        sources = bench.folder / "talks"
        talks(sources, 2.5, 2)
        whole = bench.folder / "whole" / "corpus"
        bench.build(tally, "undisturbed", LIMIT_S, sources, "--out", whole)
        kinds: list[dict[str, float]] = [{"503": 0.2}, {"cut": 0.2}, {"403_after": 0}]
        for number in range(count):
            faults = dict(kinds[number % len(kinds)])
            (name,) = faults
            say(f"store {number}: {name}")
            address = f"s3://corpora/{number}/corpus"
            door.asked = door.hit = 0
            if "403_after" in faults:
                faults["403_after"] = rng.randrange(5, 60)
            door.faults = faults
            more = {**settings, "YLD_CACHE": str(bench.folder / f"cache{number}")}
            ended = bench.build(tally, name, LIMIT_S, sources, "--out", address, **more)
            tally.cases += door.hit > 0
            if not door.hit:
                tally.notes.append(f"store {number}, {name}: no request was disturbed")
            door.faults = {}
            if ended.code != 0:
                check_stopped(tally, name, ended)
                again = bench.build(
                    tally, f"{name}, again", LIMIT_S, sources, "--out", address, **more
                )
                if again.code != 0:
                    tally.not_as_promised.append(f"{name}, again: {again.told[-300:]}")
            tally.compare(f"store {number}, {name}", seal_at(settings, address), seal(whole))
            bench.check_after(tally, name, address, 2, more)
    return tally


def check_stopped(tally: Tally, name: str, ended) -> None:
    if ended.code not in (STOPPED, None):
        tally.not_as_promised.append(
            f"{name}: exit code {ended.code}, not {STOPPED}: {ended.told[-300:]}"
        )


def seal_at(settings: dict[str, str], address: str) -> str | None:
    import s3fs

    system = s3fs.S3FileSystem(
        endpoint_url=settings["AWS_ENDPOINT_URL"],
        key="test",
        secret="test",
        use_listings_cache=False,
    )
    with contextlib.suppress(FileNotFoundError):
        return system.cat_file(f"{address}/SHA256SUMS").decode()
    return None
