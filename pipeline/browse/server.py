"""The server of `yld browse`: loopback alone, and only for pages that it gave out itself.

Who asks must name this host (against names that lead elsewhere first and here later), and who marks
must know the page's token (against other sites open in the same browser).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from manifests.corpus import Corpus
from manifests.page import render
from manifests.plain_words import sentence
from manifests.shards import ShardError
from pipeline.browse.clips import EXACT, PAGE_ROWS, Clips, Query, QueryError
from pipeline.browse.media import Media, part_of
from pipeline.corpus import marks
from pipeline.storage import own_folder

HOST = "127.0.0.1"
MOST_BODY_BYTES, MOST_VALUES = 10_000, 5000
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
TOKEN = "X-Yld-Token"
BOUND = re.compile(r"(least|most)\.(\w+)")


class Browser:
    """What is browsed: the clips, their marks, and the page's token. Raises NotACorpusError, and
    MarksError for a broken file of marks."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus, self.clips, self.media = corpus, Clips(corpus), Media(corpus.root)
        self.token = secrets.token_urlsafe(24)
        self.work = corpus.root / "work"
        self.may_mark = own_folder.find(corpus.root) is not None
        self._lock = threading.Lock()
        self._state = marks.state(self.work)
        self.marks = marks.read(self.work)

    def page(self) -> str:
        """The page, its token within."""
        return render.page(
            Path(__file__).parent,
            "page.html",
            name=self.corpus.name,
            token=self.token,
            total=len(self.clips),
            may_mark=self.may_mark,
            reasons=marks.REASONS,
            scores=self.clips.scores,
            choices={name: self.clips.values(name)[:MOST_VALUES] for name in EXACT},
            page_rows=PAGE_ROWS,
        )

    def find(self, asked: dict[str, str]) -> dict[str, Any]:
        """Rows for a query string's values. Raises QueryError."""
        total, rows = self.clips.find(query_of(asked), list(self.marks))
        return {"total": total, "marked": len(self.marks), "rows": [self._told(r) for r in rows]}

    def mark(self, told: Any) -> dict[str, Any]:
        """Set or take back (reason null) the mark of a clip. Raises MarksError, KeyError."""
        if not isinstance(told, dict) or not isinstance(told.get("clip"), str):
            raise marks.MarksError("name a clip")
        row = self.clips.row(told["clip"])
        if row is None:
            raise KeyError(told["clip"])
        reason, note = told.get("reason"), told.get("note") or ""
        if not isinstance(note, str) or not (reason is None or isinstance(reason, str)):
            raise marks.MarksError("reason and note are texts")
        with self._lock:
            made = None if reason is None else marks.make(reason, note)
            # Another window of another server may have marked.
            is_ours = marks.state(self.work) == self._state
            changed = dict(self.marks) if is_ours else marks.read(self.work)
            if made is None:
                changed.pop(told["clip"], None)
            else:
                changed[told["clip"]] = made
            self.work.mkdir(exist_ok=True)
            marks.write(self.work, changed)
            self.marks, self._state = changed, marks.state(self.work)
        return {"marked": len(self.marks), "row": self._told(row)}

    def _told(self, row: dict[str, Any]) -> dict[str, Any]:
        mark = self.marks.get(row["clip_id"])
        address = row["address"] or ""
        leads = address.startswith(("http://", "https://"))
        at = f"{address}{row['after']}{int(row['at_s'])}" if leads else ""
        hidden = ("words", "shard", "address", "after")
        return {k: v for k, v in row.items() if k not in hidden} | {
            "href": at,
            "mark": mark.reason if mark else None,
            "note": mark.note if mark else "",
        }


def query_of(asked: dict[str, str]) -> Query:
    """A query from the values of a query string. Raises QueryError."""
    bounds: dict[str, dict[str, float]] = {"least": {}, "most": {}}
    for name, value in asked.items():
        if (found := BOUND.fullmatch(name)) and value:
            bounds[found[1]][found[2]] = _number(value)
    return Query(
        words=asked.get("words", ""),
        exact={name: asked[name] for name in EXACT if asked.get(name)},
        source=asked.get("source", ""),
        least=bounds["least"],
        most=bounds["most"],
        marked=asked.get("marked", ""),
        order=asked.get("order") or "clip_id",
        is_down=asked.get("down") == "1",
        first=int(_number(asked.get("first", "0"))),
        count=int(_number(asked.get("count", str(PAGE_ROWS)))),
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise QueryError(f"{text[:40]!r} is no number") from None
    if not abs(value) < 1e15:
        raise QueryError(f"{text[:40]!r} is no number")
    return value


def policy(page: str) -> str:
    """A content policy for exactly the scripts that the page holds."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in SCRIPT.findall(page)
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; media-src 'self'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


class Handler(BaseHTTPRequestHandler):
    """One request. `browser` is what is browsed."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "yld", ""
    timeout = 60
    # Head and body are two packets: without this the second one waits for the first one's
    # acknowledgement, 40 ms of every answer.
    disable_nagle_algorithm = True

    def __init__(self, browser: Browser, *args: Any) -> None:
        self.browser = browser
        super().__init__(*args)

    def do_GET(self) -> None:
        """The page, rows, a clip."""
        if not self._is_for_us():
            return
        path = urlsplit(self.path)
        if path.path == "/":
            page = self.browser.page()
            self._send(page.encode(), "text/html; charset=utf-8", policy(page))
        elif path.path == "/clips":
            asked = {k: v[-1] for k, v in parse_qs(path.query).items()}
            try:
                self._json(self.browser.find(asked))
            except QueryError as error:
                self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        elif path.path.startswith("/clip/") and path.path.endswith(".mp4"):
            self._clip(unquote(path.path.removeprefix("/clip/").removesuffix(".mp4")))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def do_POST(self) -> None:
        """A mark."""
        content = self._body()
        if not self._is_for_us():
            return
        if content is None or urlsplit(self.path).path != "/marks":
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        token = self.headers.get(TOKEN) or ""
        if not hmac.compare_digest(token.encode(), self.browser.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "the page is of another run; load it again")
            return
        if not self.browser.may_mark:
            self._refuse(HTTPStatus.FORBIDDEN, "this is a copy that no build goes on with")
            return
        try:
            self._json(self.browser.mark(json.loads(content)))
        except KeyError as error:
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no clip {error}")
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, sentence(error))

    def _is_for_us(self) -> bool:
        port = cast(Server, self.server).port
        hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        is_ours = self.headers.get("Host") in hosts and (
            origin is None or origin in {f"http://{host}" for host in hosts}
        )
        if not is_ours:
            self._refuse(HTTPStatus.FORBIDDEN, "this server answers to its own address alone")
        return is_ours

    def _body(self) -> bytes | None:
        """What was sent; None where it is too much or of unknown length."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def _clip(self, clip_id: str) -> None:
        row = self.browser.clips.row(clip_id)
        if row is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such clip")
            return
        try:
            content = self.browser.media.clip(row["shard"], clip_id)
        except (ShardError, OSError, ValueError) as error:
            self._refuse(HTTPStatus.NOT_FOUND, sentence(error))
            return
        try:
            part = part_of(len(content), self.headers.get("Range"))
        except ValueError:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, end = part or (0, len(content))
        self.send_response(HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT)
        if part is not None:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self._headers("video/mp4", end - first)
        self.wfile.write(content[first:end])

    def _json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        content = json.dumps({"error": why}).encode()
        self.send_response(status)
        self._headers("application/json", len(content))
        self.wfile.write(content)

    def _send(self, content: bytes, kind: str, content_policy: str | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        if content_policy is not None:
            self.send_header("Content-Security-Policy", content_policy)
        self._headers(kind, len(content))
        self.wfile.write(content)

    def _headers(self, kind: str, num_bytes: int) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(num_bytes))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing: the page tells what went wrong."""


class Server(ThreadingHTTPServer):
    """The server on a port of loopback; 0: any that is free. Raises OSError for one in use."""

    daemon_threads = True

    def __init__(self, browser: Browser, port: int = 0) -> None:
        super().__init__((HOST, port), partial(Handler, browser))

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.port}/"

    @property
    def port(self) -> int:
        """Its port on loopback."""
        return int(self.socket.getsockname()[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that left while it was answered is no error of anybody's."""
