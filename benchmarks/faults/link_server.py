"""A loopback server of bad links: the kind stands in the path, `/KIND/NUMBER.mp4`."""

from __future__ import annotations

import gzip
import io
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

ENDLESS_BYTES = 64 << 20
STATUSES = frozenset({"401", "403", "404", "410", "429", "451", "500", "503"})


class Handler(BaseHTTPRequestHandler):
    """Answers by kind; `server.facts` holds contents and the addresses of listeners."""

    protocol_version = "HTTP/1.1"
    timeout = 120
    server: _Server

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, with_body: bool) -> None:
        self.with_body = with_body
        kind = self.path.strip("/").split("/")[0]
        if kind in STATUSES:
            if kind == "429":
                self._start(0, 429, Retry_After="1")
            else:
                self._start(0, int(kind))
            return
        getattr(self, f"give_{kind}")()

    def _start(self, length: int | None, status: int = 200, /, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        else:
            self.close_connection = True
        for name, value in ({"Content-Type": "video/mp4"} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _whole(self, body: bytes, length: int | None = None, **headers: str) -> None:
        self._start(len(body) if length is None else length, **headers)
        if self.with_body:
            self.wfile.write(body)
        if length is not None:
            self.close_connection = True

    def _redirect(self, target: str) -> None:
        self._start(0, 302, Location=target)

    @property
    def _clip(self) -> bytes:
        clips = self.server.facts["clips"]
        return clips[int(Path(self.path).stem) % len(clips)]

    def give_good(self):
        self._whole(self._clip)

    def give_reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def give_silent(self):
        time.sleep(100)
        self.close_connection = True

    def give_cut(self):
        self._whole(self._clip[: len(self._clip) // 2], len(self._clip))

    def give_short(self):
        """Says less than the file has: what comes is a whole answer and half a file."""
        body = self._clip[: len(self._clip) // 2]
        self._whole(body)

    def give_tail(self):
        """The header promises half of what is sent."""
        self._whole(self._clip, len(self._clip) // 2)

    def give_bomb(self):
        self._whole(self.server.facts["bomb"], Content_Encoding="gzip")

    def give_endless(self):
        self._start(None)
        for _ in range(ENDLESS_BYTES >> 16):
            self.wfile.write(b"\1" * 65536)

    def give_huge(self):
        self._whole(b"\0\0\0\x18ftypisom" + b"\1" * 65536, 10**12)

    def give_html(self):
        self._whole(b"<!doctype html><title>Sign in</title>" + b" " * 1500)

    def give_json(self):
        self._whole(b'{"error": "not today"}')

    def give_metadata(self):
        self._redirect("http://169.254.169.254/latest/meta-data/x.mp4")

    def give_file(self):
        self._redirect("file:///etc/passwd")

    def give_ftp(self):
        self._redirect("ftp://127.0.0.1/x.mp4")

    def give_loop(self):
        self._redirect(self.path)

    def give_inward(self):
        places = self.server.facts["strangers"]
        self._redirect(f"http://{places[int(Path(self.path).stem) % len(places)]}/x.mp4")

    def give_empty(self):
        self._whole(b"")

    def give_garbage(self):
        self._whole(b"\0\0\0\x18ftypisom" + b"\x93" * 20000)

    def give_encoding(self):
        self._whole(b"x" * 1000, Content_Encoding="rot13")

    def give_nothttp(self):
        self.wfile.write(b"220 ready\r\n\r\n")
        self.close_connection = True

    def give_stream(self):
        place = self.server.facts["strangers"][0]
        self._whole(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://{place}/0.ts\n"
            "#EXT-X-ENDLIST\n".encode(),
            Content_Type="application/vnd.apple.mpegurl",
        )

    def give_drip(self):
        self._start(10**6)
        if self.with_body:
            for _ in range(2000):
                self.wfile.write(b"\1")
                time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, place: tuple[str, int], facts: dict[str, Any]) -> None:
        super().__init__(place, Handler)
        self.facts = facts

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is no news."""


def bomb(inflated_bytes: int) -> bytes:
    """A small gzip body that becomes large."""
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", mtime=0) as file:
        block = bytes(1 << 20)
        for _ in range(inflated_bytes >> 20):
            file.write(block)
    return made.getvalue()


@contextmanager
def serving(host: str, facts: dict[str, Any]) -> Iterator[int]:
    """The port of a server at `host` while the context lasts."""
    server = _Server((host, 0), facts)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
