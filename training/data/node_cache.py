"""A bounded folder on a node's own disk for what was read from an address, shared by processes.

The folder may hold other things: what is removed is what `put` wrote, known by its name and its
first bytes. Sizes are counted in `LOCK`, which is also what one process at a time writes under, so
that the bound holds for all of them together; the kernel opens the lock of a process that dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from manifests.plain_words import sentence

LOCK = ".yld-node-cache"
"""Holds how many bytes the cache has, as text."""
MAGIC = b"yld-node-cache-1"
DIGEST_BYTES = 16
HEAD_BYTES = len(MAGIC) + DIGEST_BYTES
KEPT_SHARE = 0.9
"""Of the bound, after room was made: so that not every write looks at all files."""
KEPT = re.compile("[0-9a-f]{62}")
BEGUN = re.compile(r"[0-9a-f]{62}\.begun")


@dataclass(frozen=True)
class NodeCache:
    """Bytes by key, at most `max_bytes` of files; the least recently used go first.

    A file is MAGIC, 16 bytes of BLAKE2b over the content, the content; one that is cut or damaged
    is as good as none. It appears whole or not at all. A cache that cannot be written (a full
    disk) warns once a process, and reading goes on without it.
    """

    folder: Path
    max_bytes: int

    @classmethod
    def at(cls, folder: Path | str, max_gb: float) -> NodeCache:
        """`max_gb` of 10^9 bytes. Raises ValueError for a folder that cannot be written."""
        if not max_gb > 0:
            raise ValueError(f"a cache of {max_gb:g} GB keeps nothing: give more, or no cache_dir")
        made = cls(Path(folder), int(max_gb * 1e9))
        try:
            made.folder.mkdir(parents=True, exist_ok=True)
            with made._locked():
                pass
        except OSError as error:
            raise ValueError(
                f"nothing can be kept in the cache: {sentence(error)}. Name another cache_dir, on "
                "a disk of this machine"
            ) from None
        return made

    def get(self, key: str) -> bytes | None:
        """What `put` kept under `key`, then the most recently used; None if it is not there."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        body = content[HEAD_BYTES:]
        if content[:HEAD_BYTES] != _head(body):
            return None
        with suppress(OSError):  # removed meanwhile
            os.utime(path)
        return body

    def put(self, key: str, content: bytes) -> None:
        """Keep `content`, if it fits, and let others go for it."""
        num_bytes = HEAD_BYTES + len(content)
        if num_bytes > self.max_bytes:
            return
        path = self._path(key)
        if os.path.lexists(path) and not _is_ours(path):
            return
        begun = path.with_name(f"{path.name}.begun")
        try:
            path.parent.mkdir(exist_ok=True)
            with self._locked() as lock:
                there = _told(lock)
                if there is None or there + num_bytes > self.max_bytes:
                    there = self._make_room(num_bytes)
                # Counted before it is written: a process that dies between leaves room unused
                # until the files are counted again, and never too many files.
                _tell(lock, there + num_bytes)
                begun.write_bytes(_head(content) + content)
                replaced = path.stat().st_size if path.exists() else 0
                os.replace(begun, path)
                _tell(lock, there + num_bytes - replaced)
        except OSError as error:
            with suppress(OSError):
                begun.unlink()
            warnings.warn(  # Python shows the same text once
                f"nothing more is kept in {self.folder}: {sentence(error)}", stacklevel=2
            )

    def _path(self, key: str) -> Path:
        name = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=32).hexdigest()
        return self.folder / name[:2] / name[2:]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.folder / LOCK, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _make_room(self, num_bytes: int) -> int:
        """Remove the least recently used until so many bytes fit; how many are left. Nobody else
        writes, so what is `begun` was left by a process that died."""
        found: list[tuple[float, int, Path]] = []
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            for entry in os.scandir(folder):
                if BEGUN.fullmatch(entry.name) and _is_ours(Path(entry)):
                    os.unlink(entry)
                elif KEPT.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    told = entry.stat()
                    found.append((told.st_mtime, told.st_size, Path(entry)))
        left = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if left + num_bytes <= self.max_bytes * KEPT_SHARE or not left:
                break
            if _is_ours(path):
                path.unlink()
            left -= size
        return left


def _head(content: bytes) -> bytes:
    return MAGIC + hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _is_ours(path: Path) -> bool:
    """Whether `put` wrote it. What was cut before its first bytes is nobody's, and stays."""
    if path.is_symlink() or not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _told(lock: int) -> int | None:
    """Bytes of the cache; None where that is not known."""
    told = os.pread(lock, 64, 0)
    return int(told) if re.fullmatch(rb"\d{20}\n", told) else None


def _tell(lock: int, num_bytes: int) -> None:
    os.pwrite(lock, b"%020d\n" % max(num_bytes, 0), 0)
