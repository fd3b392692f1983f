"""The sealed list of a corpus, `SHA256SUMS`, read as the hostile text that it may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from manifests.files import sha256_of
from manifests.plain_words import sentence

NAME = "SHA256SUMS"
MAX_LINE, MAX_BAD_LINES = 4096, 5
LINE = re.compile(rb"([0-9a-fA-F]{64}) [ *]([^\0]+)")


def check(folder: Path, place: str, say: Callable[[str, str], None]) -> None:
    """Files of `folder` against its `SHA256SUMS`. Whatever is wrong goes to `say(where, problem)`
    with places that begin with `place`; nothing is raised and nothing outside is looked at."""
    path = folder / NAME
    where = _at(place, NAME)
    try:
        if not path.exists():
            say(where, "missing: the build did not finish; run it again")
        elif not path.is_file():
            say(where, "is a folder or a device, not a list of checksums; it is not ours")
        else:
            with open(path, "rb") as file:
                _lines(file, folder, place, where, say)
    except OSError as error:
        say(where, sentence(error))


def _lines(file, folder: Path, place: str, where: str, say) -> None:
    bad, named = 0, 0
    while line := file.readline(MAX_LINE + 1):
        named += 1
        text = line.rstrip(b"\r\n")
        match = LINE.fullmatch(text)
        name = match and _inside(match[2])
        if match and name is not None:
            _file(folder, name, match[1].decode().lower(), place, say)
            continue
        bad += 1
        if why := _foreign(line, bad):
            say(
                where,
                f"is no list of checksums that yld wrote: {why}; nothing after line {named} "
                "is checked",
            )
            return
        shown = (match[2] if match else text)[:80].decode(errors="replace")
        say(
            where,
            f"line {named} "
            + (
                "names a place outside the corpus, which is not looked at"
                if match
                else "is no checksum and name"
            )
            + f": {shown!r}",
        )
    if not named:
        say(where, "is empty: the build did not finish; run it again")


def _foreign(line: bytes, bad: int) -> str | None:
    if len(line) > MAX_LINE:
        return "a line has no end"
    try:
        line.decode()
    except UnicodeDecodeError:
        return "it is no text"
    return "too many lines are none" if bad > MAX_BAD_LINES else None


def _inside(raw: bytes) -> str | None:
    """A name below the folder; None for what could lead out of it, or is no text."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return None
    parts = PurePosixPath(name).parts
    return None if not parts or name.startswith("/") or ".." in parts or "\\" in name else name


def _file(folder: Path, name: str, digest: str, place: str, say) -> None:
    path, where = folder / name, _at(place, name)
    try:
        if not path.exists():
            say(where, f"named in {NAME}, but missing")
        elif not path.is_file():
            say(where, f"named in {NAME}, but it is a folder or a device, not a file")
        elif sha256_of(path) != digest:
            say(where, f"differs from {NAME}")
    except OSError as error:
        say(where, sentence(error))


def _at(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name
