"""Writing files so that a reader sees all of it or nothing, and a kill leaves nothing behind.

A process that was told a folder to keep records in (`record_temporaries`) notes there the name of
each temporary file before it makes it. What a killed process was writing is thus known by name to
the next one (`sweep_temporaries`), and no file is ever removed for looking like a temporary one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RECORD_SUFFIX = ".writing"


@dataclass(frozen=True)
class _Record:
    """An open file below `folder` that holds the names of temporary files."""

    path: Path
    descriptor: int

    def note(self, name: str) -> None:
        told = os.path.relpath(name, self.path.parent)
        os.write(self.descriptor, os.fsencode(told) + b"\0")


class _Temporaries:
    """Names for one process's temporary files, none of which any other process gives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._pid, self._token, self._count = os.getpid(), secrets.token_hex(8), 0
        self._open: set[str] = set()
        self._record: _Record | None = None

    def keep_record(self, folder: Path | None) -> None:
        with self._lock:
            self._own()
            if self._record is not None:
                self._record.path.unlink(missing_ok=True)
                os.close(self._record.descriptor)
                self._record = None
            if folder is None:
                return
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{self._token}{RECORD_SUFFIX}"
            self._record = _Record(
                path, os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
            )
            with contextlib.suppress(OSError):  # without locks nobody sweeps
                fcntl.flock(self._record.descriptor, fcntl.LOCK_EX)
            for name in sorted(self._open):
                self._record.note(name)

    def is_recording(self) -> bool:
        return self._pid == os.getpid() and self._record is not None

    def begin(self, path: Path) -> Path:
        with self._lock:
            self._own()
            self._count += 1
            stem = os.fsdecode(os.fsencode(path.name)[:160])  # systems count a name's bytes
            name = path.with_name(f".{stem}.{self._token}-{self._count}.tmp")
            if self._record is not None:
                self._record.note(str(name))
            self._open.add(str(name))
            return name

    def end(self, name: Path) -> None:
        with self._lock:
            self._open.discard(str(name))
            if self._record is not None and not self._open:
                os.ftruncate(self._record.descriptor, 0)

    def _own(self) -> None:
        if self._pid != os.getpid():  # forked: the record is the other one's
            self._reset()


_temporaries = _Temporaries()


def record_temporaries(folder: Path | str | None) -> None:
    """Note in `folder` which temporary files this process is writing; None ends that."""
    _temporaries.keep_record(None if folder is None else Path(folder).resolve())


@contextmanager
def recording(folder: Path | str) -> Iterator[None]:
    """`record_temporaries` inside, where this process keeps no record yet; leaves no folder."""
    if _temporaries.is_recording():
        yield
        return
    folder = Path(folder)
    record_temporaries(folder)
    try:
        yield
    finally:
        record_temporaries(None)
        with contextlib.suppress(OSError):  # others' records may be in it
            folder.rmdir()
            folder.parent.rmdir()


def sweep_temporaries(folder: Path | str) -> int:
    """Remove temporary files that processes which ended noted in `folder`; how many there were.

    Only regular files whose names only the process of that record can have given.
    """
    removed = 0
    folder = Path(folder).resolve()
    for record in folder.glob(f"*{RECORD_SUFFIX}"):
        token = record.name.removesuffix(RECORD_SUFFIX)
        with contextlib.suppress(OSError), open(record, "rb") as file:
            if record.is_symlink() or not re.fullmatch("[0-9a-f]{16}", token):
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held by its process while it lives
            pattern = re.compile(rf"\..*\.{token}-\d+\.tmp", re.DOTALL)
            for noted in file.read().split(b"\0"):
                path = folder / os.fsdecode(noted)
                if pattern.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                    path.unlink()
                    removed += 1
            record.unlink()
    return removed


@contextmanager
def atomic_path(path: Path | str):
    """A temporary path beside `path`; renamed over it on success, removed on error.

    The content is flushed to disk before the rename, so a crash leaves the old file or the
    whole new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = _temporaries.begin(path)
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield name
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise
    finally:
        _temporaries.end(name)


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
