"""A loopback web server for a folder: ranges, HEAD, 404; nothing leaves this machine."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TYPES = {
    ".mp4": "video/mp4",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".mpd": "application/dash+xml",
    ".m4a": "audio/mp4",
    ".vtt": "text/vtt",
}


class FolderServer(ThreadingHTTPServer):
    """A server whose handlers know a folder."""

    daemon_threads = True
    folder: Path

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is no news."""


class FolderHandler(BaseHTTPRequestHandler):
    """Serves the files directly in `server.folder`."""

    protocol_version = "HTTP/1.1"
    server: FolderServer

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path = self.server.folder / Path(self.path.split("?")[0]).name
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        status, part = 200, content
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            first = int(asked[1])
            last = min(int(asked[2] or len(content) - 1), len(content) - 1)
            status, part = 206, content[first : last + 1]
        self.send_response(status)
        self.send_header("Content-Type", TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if with_body:
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(folder: Path, handler: type[BaseHTTPRequestHandler] = FolderHandler, port: int = 0):
    """The address of a server on 127.0.0.1, while the context lasts.

    It stands at `port`, or at a free one if that is taken (or 0).
    """
    try:
        server = FolderServer(("127.0.0.1", port), handler)
    except OSError:
        server = FolderServer(("127.0.0.1", 0), handler)
    server.folder = folder
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
