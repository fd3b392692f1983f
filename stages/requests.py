"""From command-line arguments to requests: links, lists of links, media files, folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from manifests.ids import hash_id
from manifests.records import Request

MEDIA_SUFFIXES = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".f4v",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
LIST_SUFFIXES = frozenset({".txt", ".list", ".urls"})
MOST_TOLD = 20
"""Bad lines that an error shows."""


class BadSourceError(ValueError):
    """An argument that is no source; the message names it and says what would be."""


def is_link(text: str) -> bool:
    """Whether `text` is an http(s) address."""
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def requests_from_arguments(arguments: Sequence[str]) -> list[Request]:
    """Requests in a fixed order, each address once. Raises BadSourceError."""
    found: dict[str, Request] = {}
    bad: list[str] = []
    for argument in arguments:
        for request in _expand(argument, bad):
            found.setdefault(request.address, request)
    if bad:
        more = len(bad) - MOST_TOLD
        raise BadSourceError("\n  ".join([
            f"{len(bad)} line{'s' * (len(bad) > 1)} of the lists cannot be used; mend each, or "
            "comment it out with #:", *bad[:MOST_TOLD],
            *([f"and {more} more"] if more > 0 else [])]))
    return list(found.values())


def _expand(argument: str, bad: list[str]) -> Iterable[Request]:
    if not argument.strip():  # Path("") would be the current folder
        raise BadSourceError("one of the sources is empty (a shell variable that is not set?); "
                             "give a link, a file or a folder, `.` for the current one")
    if is_link(argument):
        return [_request(argument, "link", argument)]
    path = Path(argument)
    if path.is_dir():
        files = sorted(
            p for p in path.rglob("*") if p.suffix.lower() in MEDIA_SUFFIXES and p.is_file()
        )
        if not files:
            raise BadSourceError(
                f"{argument} holds no media file (looked for {', '.join(sorted(MEDIA_SUFFIXES))})"
            )
        return [_request(str(p.resolve()), "file", argument) for p in files]
    if not path.exists():
        raise BadSourceError(f"{argument} is neither a link (https://...), a file nor a folder")
    if path.suffix.lower() in MEDIA_SUFFIXES:
        return [_request(str(path.resolve()), "file", argument)]
    if path.suffix.lower() in LIST_SUFFIXES:
        return read_list(path, bad)
    raise BadSourceError(
        f"{argument} is not known as media; a list of links is a text file (.txt), one a line"
    )


def read_list(path: Path, bad: list[str]) -> list[Request]:
    """Requests of a text file: one link or path a line; blank lines and `#` comments pass.

    Lines that are neither go to `bad`, so that all of them can be told at once.
    """
    requests, known_bad = [], len(bad)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadSourceError(f"{path} is not a UTF-8 text file of links") from None
    for number, line in enumerate(lines, 1):
        text = line.split(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        if is_link(text):
            requests.append(_request(text, "link", str(path), number))
            continue
        target = (path.parent / text).resolve()
        if not target.is_file():
            bad.append(f"{path}, line {number}: {text!r} is neither a link nor a file")
            continue
        requests.append(_request(str(target), "file", str(path), number))
    if not requests and len(bad) == known_bad:
        raise BadSourceError(f"{path} holds no links")
    return requests


def _request(address: str, kind: str, requested_as: str, line: int | None = None) -> Request:
    return Request(f"r{hash_id(kind, address)}", address, kind, requested_as, line)
