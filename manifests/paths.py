r"""Paths as text in records, tables and reports, for any name a file system can hold.

A name is bytes, and need not be UTF-8. In a record a path is text that every table and page can
hold: bytes that are no UTF-8, control characters and line separators are written `\xHH`, a byte
each, and so is a backslash that would otherwise read as such an escape. All else stands as it is,
so nearly every path is its own text, and two paths never share one. `as_path` gives the path back.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|" r"\\(?=x[0-9a-f]{2})")


def as_text(path: str | os.PathLike[str]) -> str:
    r"""A path as text that encodes as UTF-8 and prints on one line.

    >>> as_text("/a/caf\udce9.mp4"), as_text("/a/café #1.mp4"), as_text("/a/two\nlines")
    ('/a/caf\\xe9.mp4', '/a/café #1.mp4', '/a/two\\x0alines')
    """
    return _ODD.sub(
        lambda odd: "".join(f"\\x{byte:02x}" for byte in _bytes(odd[0])), os.fspath(path)
    )


def as_path(text: str | os.PathLike[str]) -> Path:
    r"""The path that `as_text` wrote. A path that holds no such escape is taken as it is.

    >>> as_path(r"/a/caf\xe9.mp4").name
    'caf\udce9.mp4'
    """
    name = os.fspath(text)
    if not ESCAPE.search(name):
        return Path(name)
    raw, at = b"", 0
    for escape in ESCAPE.finditer(name):
        raw += _bytes(name[at : escape.start()]) + bytes([int(escape[1], 16)])
        at = escape.end()
    return Path(os.fsdecode(raw + _bytes(name[at:])))


def check_out(folder: str | os.PathLike[str]) -> None:
    """Raises ValueError where tables cannot be written: Parquet's readers open UTF-8 names only."""
    name = os.path.realpath(os.fspath(folder))
    if printable(name) != name:
        raise ValueError(
            f"nothing can be written to '{as_text(name)}': its name is not UTF-8, and "
            "no reader of Parquet opens such a path; give another folder"
        )


def printable(text: str) -> str:
    r"""A message with what no text can hold (half a character) written `\xHH`; lines stay."""
    return re.sub("[\ud800-\udfff]", lambda odd: as_text(odd[0]), text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape" if _is_escaped(text) else "surrogatepass")


def _is_escaped(text: str) -> bool:
    """Whether all surrogates stand for bytes, as `os.fsdecode` makes them."""
    return all("\udc80" <= c <= "\udcff" for c in text if "\ud800" <= c <= "\udfff")
