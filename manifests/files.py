"""Writing files so that a reader sees all of it or nothing."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path | str):
    """A temporary path beside `path`; renamed over it on success, removed on error.

    The content is flushed to disk before the rename, so a crash leaves the old file or the
    whole new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".tmp")
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_atomic(path: Path | str, content: bytes | str) -> None:
    """Write all of `content`, or leave `path` as it was."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded(content) if isinstance(content, str) else content)


def encoded(text: str) -> bytes:
    """UTF-8, in which what no text may hold (a lone surrogate) is `\\udcXX`, as JSON writes it."""
    return text.encode("utf-8", "backslashreplace")


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
