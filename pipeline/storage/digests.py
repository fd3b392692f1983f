"""SHA-256 of the files of a folder, each computed once: when it is written, or when it is first
asked for, and again only when the file is another one (by size, time of change or inode).

What is known lies in `work/hashes.json`. It is a saving and no record: without it files are read
once more. Damage that leaves size and time as they were is for `yld verify`, which reads all.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from manifests.files import sha256_of, write_atomic

NAME = "hashes.json"


class Digests:
    """Of the files below `root`, by name relative to it."""

    def __init__(self, root: Path) -> None:
        self.root, self._path = root, root / "work" / NAME
        self._known: dict[str, list[int | str]] = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._path.read_text(encoding="utf-8"))
            self._known = {str(n): list(facts) for n, facts in known.items() if len(facts) == 4}

    def of(self, name: str) -> str:
        """Hexadecimal. Raises OSError."""
        facts = self._facts(name)
        known = self._known.get(name)
        if known is None or known[:3] != facts:
            known = self._known[name] = [*facts, sha256_of(self.root / name)]
        return str(known[3])

    def told(self, name: str, digest: str) -> None:
        """`name` was just written, with this digest."""
        self._known[name] = [*self._facts(name), digest]

    def save(self) -> None:
        """Keep what is known of files that are there, where the folder has a place for it."""
        there = {n: f for n, f in self._known.items() if os.path.lexists(self.root / n)}
        if there and self._path.parent.is_dir():
            write_atomic(self._path, json.dumps(there, indent=0, sort_keys=True))
        elif not there:
            self._path.unlink(missing_ok=True)

    def _facts(self, name: str) -> list[int | str]:
        facts = (self.root / name).stat()
        return [facts.st_size, facts.st_mtime_ns, facts.st_ino]
