"""Downloads that go on where they were broken off, by HTTP Range.

A partial file is continued only if the server vouches, by ETag or modification time
(If-Range), that it still holds the same file; else it begins again. The host of an address is the
registry's own choice and is asked whatever it is; a redirect leads to it or to public hosts only.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from manifests.network.addresses import AllowedHosts, RefusedAddressError, host_in
from manifests.network.bounded_http import Body, Bounds, OutOfBoundsError, bounded_opener

ATTEMPTS = 5
WAIT_S = 1.0
TIMEOUT_S = 30.0
BLOCK = 1 << 20
MAX_BYTES = 16 << 30
"""Of a file whose size the registry does not know."""
MIN_BYTES_PER_S = 1000.0
_FINAL = range(400, 500)
_BUSY = (408, 425, 429)


class DownloadError(RuntimeError):
    """A file could not be had from its address."""


Tell = Callable[[int, int], None]
"""Is told how many bytes are here, and of how many."""


def download(url: str, part: Path, size: int | None = None, tell: Tell | None = None) -> None:
    """All of `url` into `part`, which may hold a beginning from an earlier call.

    `size` in bytes, where it is known, must be the server's. Connections that break are taken
    up again up to `ATTEMPTS` times without progress, and so are those that are too slow. Raises
    DownloadError; what came so far stays in `part` for the next call.
    """
    failures, wait_s, most = 0, WAIT_S, _size(part)
    while True:
        try:
            _continue(url, part, size, tell)
            _validator_path(part).unlink(missing_ok=True)
            return
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == 416:  # the beginning is longer than the file
                part.unlink(missing_ok=True)
            elif error.code in _FINAL and error.code not in _BUSY:
                raise DownloadError(reason) from error
        except RefusedAddressError as error:
            raise DownloadError(str(error)) from error
        except OutOfBoundsError as error:
            reason = str(error)
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
        # Progress is more than ever before: a server that cannot resume begins at 0 each time.
        failures = 1 if _size(part) > most else failures + 1
        most = max(most, _size(part))
        if failures == ATTEMPTS:
            raise DownloadError(f"{reason}, {ATTEMPTS} times")
        time.sleep(wait_s if failures > 1 else 0)
        wait_s = min(2 * wait_s, 20.0)


def _continue(url: str, part: Path, size: int | None, tell: Tell | None) -> None:
    """One request: the rest of the file, or all of it."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    have, validator = _size(part), _validator(part)
    if have and validator:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)
    bounds = Bounds(AllowedHosts([host_in(url)]), min_bytes_per_s=MIN_BYTES_PER_S)
    with bounded_opener(bounds).open(request, timeout=TIMEOUT_S) as response:
        length = response.headers.get("Content-Length")
        if length is None:
            raise DownloadError("the server does not say how long the file is")
        total = int(length)
        if response.status == 206:
            total += have
            expected = f"bytes {have}-{total - 1}/{total}"
            if response.headers.get("Content-Range") != expected:
                part.unlink(missing_ok=True)
                raise http.client.HTTPException(
                    f"asked for {expected}, got {response.headers.get('Content-Range')}"
                )
        else:
            part.unlink(missing_ok=True)
            have = 0
        if size is None and total > MAX_BYTES:
            raise DownloadError(f"the server's file has {total} bytes, more than {MAX_BYTES}")
        if size is not None and total != size:
            raise DownloadError(f"the server's file has {total} bytes instead of {size}")
        _remember_validator(part, response.headers)
        with open(part, "ab") as output, Body(response, bounds) as body:
            try:
                while have < total:
                    block = body.read(min(BLOCK, total - have))
                    if not block:
                        raise http.client.HTTPException(f"broken off at {have} of {total} bytes")
                    output.write(block)
                    have += len(block)
                    if tell is not None:
                        tell(have, total)
            except http.client.IncompleteRead as error:
                raise http.client.HTTPException(f"broken off at {have} of {total} bytes") from error


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _validator_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _validator(part: Path) -> str | None:
    try:
        return json.loads(_validator_path(part).read_text())["validator"]
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _remember_validator(part: Path, headers) -> None:
    """Weak ETags cannot vouch for bytes, so the modification time stands in for them."""
    tag = headers.get("ETag")
    validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    _validator_path(part).write_text(json.dumps({"validator": validator}))
