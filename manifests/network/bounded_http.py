"""HTTP answers with bounds: on where they come from, how long they take and how much they hold.

Connections go to allowed addresses only (`manifests.network.addresses`), a watch cuts those that
send too little, and a body is read and inflated in small pieces, counted as they come.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin

from manifests.network.addresses import AllowedHosts, host_in

PIECE = 1 << 18
"""Bytes read or inflated at a time."""
MAX_PAGE_BYTES = 64 << 20
"""Of an answer that is wanted whole in memory: a page, a play list."""
FREE_BYTES = 64 << 20
MAX_INFLATION = 10.0
"""A body may inflate to `FREE_BYTES` freely, and beyond that to this many times its size: media are
compressed already, and pages are smaller."""
MAX_ENCODINGS = 2
HEADERS_S = 60.0
"""Longest time from the connection to the end of the headers."""
WINDOW_S = 60.0
"""Time over which an answer's speed is judged."""


class OutOfBoundsError(ValueError):
    """An answer that is given up at once. No OSError, for libraries try those again."""


class TooLargeError(OutOfBoundsError):
    """An answer above its bound. `measured` and `bound` in bytes."""

    def __init__(self, message: str, measured: int, bound: int) -> None:
        super().__init__(message)
        self.measured, self.bound = measured, bound


class TooSlowError(OutOfBoundsError):
    """An answer that came, but slower than it may."""


class IncompleteBodyError(http.client.IncompleteRead):
    """`received` bytes came; `expected` more were promised, where that is known."""

    def __init__(self, received: int, expected: int | None = None) -> None:
        partial = range(received)  # of `partial` readers take the length, and no copy is kept
        super().__init__(partial, expected)  # type: ignore[arg-type]  # it takes only len()


@dataclass
class Bounds:
    """What the answers to one task may cost together. `spent` counts their bytes, inflated."""

    hosts: AllowedHosts = field(default_factory=AllowedHosts)
    max_bytes: int | None = None
    min_bytes_per_s: float = 0.0
    setting: str | None = None
    """How the user raises `max_bytes`; stands in the sentence."""
    on_piece: Callable[[int], None] | None = None
    """Called with the bytes of each piece; may raise (a full disk)."""
    spent: int = 0

    def take(self, count: int) -> None:
        """Count bytes that came. Raises TooLargeError."""
        self.spent += count
        if self.on_piece:
            self.on_piece(count)
        if self.max_bytes is not None and self.spent > self.max_bytes:
            raise self.too_large(self.spent, "more than", self.max_bytes)

    def promise(self, count: int) -> None:
        """An answer says how long it will be. Raises TooLargeError before any of it is read."""
        if self.max_bytes is not None and self.spent + count > self.max_bytes:
            raise self.too_large(self.spent + count, "", self.max_bytes)

    def too_large(self, count: int, word: str, bound: int) -> TooLargeError:
        way = f"; if you want it, raise --set {self.setting}=..." if self.setting else ""
        return TooLargeError(
            f"{word} {count:,} bytes, and at most {bound:,} are fetched{way}".strip(), count, bound
        )


class Watch:
    """Cuts a connection whose peer is too slow, whatever blocks on it.

    A timeout of a socket begins anew with each byte, and a header or a chunk's length may drip for
    days; so a thread waits beside it. `close` ends it.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._twin = connection.dup()  # TLS takes the socket itself over
        self._until = time.monotonic() + seconds
        self._over = threading.Event()
        self.has_cut = False
        threading.Thread(target=self._wait, daemon=True).start()

    def more(self, seconds: float) -> None:
        """It did well: another `seconds` from now."""
        self._until = time.monotonic() + seconds

    def close(self) -> None:
        self._over.set()

    def _wait(self) -> None:
        while not self._over.wait(max(0.0, self._until - time.monotonic())):
            if time.monotonic() >= self._until:
                self.has_cut = True
                with contextlib.suppress(OSError):
                    self._twin.shutdown(socket.SHUT_RDWR)
                break
        self._twin.close()


def connection_class(base: type, bounds: Bounds, is_proxied: bool = False) -> type:
    """`base` (an http.client connection) within `bounds`.

    A proxy is the user's own setting and may have any address; who asks through one has judged the
    target before.
    """

    class Bounded(base):
        watch: Watch | None = None

        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            self._create_connection = self._open

        def _open(self, address, timeout=None, source_address=None):
            hosts = _Anywhere() if is_proxied else bounds.hosts
            connection = hosts.connect(address, timeout, source_address)
            self.watch = Watch(connection, HEADERS_S)
            return connection

        def connect(self) -> None:
            with self._in_time():
                super().connect()

        def getresponse(self):
            with self._in_time():
                response = super().getresponse()
            response.watch = self.watch
            if self.watch:
                self.watch.more(WINDOW_S)
            return response

        @contextlib.contextmanager
        def _in_time(self):
            try:
                yield
            except BaseException as error:
                if self.watch is None:
                    raise
                self.watch.close()
                if self.watch.has_cut and isinstance(error, (OSError, http.client.HTTPException)):
                    raise TooSlowError(
                        f"no whole answer within {HEADERS_S:.0f} s from {self.host}"
                    ) from error
                raise

    return Bounded


class _Anywhere(AllowedHosts):
    def allows(self, host: str, address: str) -> bool:
        return True


class Body(io.RawIOBase):
    """The body of a `http.client.HTTPResponse`, decoded, within `bounds`.

    Raises TooLargeError; TooSlowError; http.client.IncompleteRead where less came than the header
    promised or than the compression needs; http.client.HTTPException for an encoding it cannot
    read.
    """

    def __init__(
        self, response: http.client.HTTPResponse, bounds: Bounds, is_bodiless: bool = False
    ) -> None:
        self.response, self.bounds = response, bounds
        self.reason = response.reason
        self.received = self.given = self._in_window = 0
        self._began = time.monotonic()
        self.watch: Watch | None = getattr(response, "watch", None)
        self._rest = b""
        encodings = [
            e.strip().lower() for e in (response.headers.get("Content-Encoding") or "").split(",")
        ]
        encodings = [e for e in encodings if e not in ("", "identity")]
        self.promised = response.length
        if self.promised and not is_bodiless:
            try:
                bounds.promise(self.promised)
            except TooLargeError:
                self.close()
                raise
        self._pieces = self._counted(decoded(self._raw(), encodings), bool(encodings))

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """All that is left, at most `MAX_PAGE_BYTES`; or up to `size` bytes, at least one."""
        if size is not None and size >= 0:
            if not self._rest and size:
                self._rest = next(self._pieces, b"")
            piece, self._rest = self._rest[:size], self._rest[size:]
            return piece
        pieces, count = [self._rest], len(self._rest)
        self._rest = b""
        for piece in self._pieces:
            pieces.append(piece)
            count += len(piece)
            if count > MAX_PAGE_BYTES:
                self.close()
                raise TooLargeError(
                    f"a page of more than {MAX_PAGE_BYTES:,} bytes", count, MAX_PAGE_BYTES
                )
        return b"".join(pieces)

    def readinto(self, buffer) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if self.watch:
            self.watch.close()
        self.response.close()
        super().close()

    def _raw(self) -> Iterator[bytes]:
        while self.promised is None or self.received < self.promised:
            most = PIECE if self.promised is None else min(PIECE, self.promised - self.received)
            try:
                piece = self.response.read1(most)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._check_cut(error)
                if isinstance(error, ValueError):  # closed below us, or a chunk's length is none
                    raise http.client.HTTPException(str(error)) from error
                raise
            if not piece:
                self._check_cut(None)
                if self.promised is not None:
                    raise IncompleteBodyError(self.received, self.promised - self.received)
                break
            self.received += len(piece)
            self._keep_pace(len(piece))
            yield piece
        if self.watch:
            self.watch.close()

    def _keep_pace(self, count: int) -> None:
        self._in_window += count
        if self._in_window >= self.bounds.min_bytes_per_s * WINDOW_S:
            self._in_window = 0
            if self.watch:
                self.watch.more(WINDOW_S)

    def _check_cut(self, error: Exception | None) -> None:
        if self.watch and self.watch.has_cut:
            raise TooSlowError(
                f"slower than {self.bounds.min_bytes_per_s:g} bytes/s over {WINDOW_S:.0f} s: "
                f"{self.received} bytes in {time.monotonic() - self._began:.0f} s"
            ) from error

    def _counted(self, pieces: Iterable[bytes], is_encoded: bool) -> Iterator[bytes]:
        try:
            for piece in pieces:
                self.given += len(piece)
                self.bounds.take(len(piece))
                if is_encoded and self.given > max(FREE_BYTES, MAX_INFLATION * self.received):
                    raise TooLargeError(
                        f"{self.received:,} bytes inflate to more than {self.given:,}, which no "
                        "media do",
                        self.given,
                        max(FREE_BYTES, int(MAX_INFLATION * self.received)),
                    )
                if piece:
                    yield piece
        except BaseException:
            self.close()
            raise


def decoded(pieces: Iterator[bytes], encodings: list[str]) -> Iterator[bytes]:
    """A body without its Content-Encodings (listed as applied), in pieces of bounded size.

    Raises http.client.HTTPException for an encoding that is not known, or too many of them.
    """
    if len(encodings) > MAX_ENCODINGS:
        raise http.client.HTTPException(f"{len(encodings)} content encodings one over another")
    for encoding in reversed(encodings):
        if encoding in ("gzip", "x-gzip", "deflate"):
            pieces = _inflated(pieces, encoding)
        elif encoding == "br" and brotli_machine() is not None:
            pieces = _unbrotli(pieces)
        else:
            raise http.client.HTTPException(f"content encoding {encoding!r} is not known")
    return pieces


def _inflated(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    machine = None
    for piece in filter(None, pieces):
        if machine is None:
            # `deflate` means zlib's format, but some servers send the bare one.
            is_bare = encoding == "deflate" and (
                piece[0] & 15 != 8 or (len(piece) > 1 and (piece[0] << 8 | piece[1]) % 31)
            )
            machine = zlib.decompressobj(-15 if is_bare else 15 if encoding == "deflate" else 31)
        while piece and not machine.eof:
            try:
                yield machine.decompress(piece, PIECE)
            except zlib.error as error:
                raise http.client.HTTPException(f"a damaged {encoding} body: {error}") from error
            piece = machine.unconsumed_tail
        if machine.eof:
            return  # what follows the first payload is junk
    if machine is not None:
        yield machine.flush()
        if not machine.eof:
            raise IncompleteBodyError(0)


def brotli_machine():
    """brotli's decompressor if it can stop in the middle (1.2 and later), else None."""
    try:
        import brotli
    except ImportError:
        return None
    machine = getattr(brotli, "Decompressor", None)
    return machine if hasattr(machine, "can_accept_more_data") else None


def _unbrotli(pieces: Iterator[bytes]) -> Iterator[bytes]:
    import brotli

    machine = brotli_machine()()
    for piece in pieces:
        try:
            yield machine.process(piece, output_buffer_limit=PIECE)
            while not machine.can_accept_more_data():
                yield machine.process(b"", output_buffer_limit=PIECE)
        except brotli.error as error:
            raise http.client.HTTPException(f"a damaged br body: {error}") from error
    if not machine.is_finished():
        raise IncompleteBodyError(0)


class RedirectsWithin(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only. Raises RefusedAddressError for others."""

    def http_error_302(self, req, fp, code, msg, headers):
        target = headers.get("Location") or headers.get("URI")
        if target:
            host_in(urljoin(req.full_url, target))
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def check_proxied(request: urllib.request.Request, bounds: Bounds) -> None:
    """Judge the target of a request that goes through a proxy. Raises RefusedAddressError.

    The proxy resolves the name by itself, so a name that is not known here passes.
    """
    host = host_in(request.full_url)
    with contextlib.suppress(OSError):
        bounds.hosts.resolve(host, 0)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self.bounds = bounds

    def http_open(self, req):
        return self.do_open(self._kind(http.client.HTTPConnection, req), req)

    def _kind(self, base: type, req: urllib.request.Request) -> type:
        is_proxied = req.has_proxy() or bool(getattr(req, "_tunnel_host", None))
        if is_proxied:
            check_proxied(req, self.bounds)
        return connection_class(base, self.bounds, is_proxied)


class _Https(_Http, urllib.request.HTTPSHandler):
    def __init__(self, bounds: Bounds) -> None:
        urllib.request.HTTPSHandler.__init__(self)
        self.bounds = bounds

    def https_open(self, req):
        return self.do_open(
            self._kind(http.client.HTTPSConnection, req), req, context=self._context
        )


def bounded_opener(bounds: Bounds) -> urllib.request.OpenerDirector:
    """urllib's opener for http and https within `bounds`. Read what it gives through a `Body`."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Http(bounds),
        _Https(bounds),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        RedirectsWithin(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
