"""Files that are nobody's business, sown where yld writes and beside it, and compared after."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

NAMES = (
    "notes.txt",
    "train-009999.tar",
    "train-000000.tar.bak",
    ".report.html.k3j2h1g0.tmp",
    ".x.0123456789abcdef-3.tmp",
    "part-000009.parquet",
    "SHA256SUMS.old",
    "lock.mine",
    "a b#c",
    "0" * 60 + ".npz",
    "cpu-9-9.memory.txt",
    "status.json~",
    "film.mp4.part",
    "naïve.json",
    "yld-run-mine",
    "node-99",
    "token.txt",
    ".hidden",
    "README",
    "mine.tar",
)


class Foreign:
    """What was sown so far."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._sown: dict[Path, str] = {}

    def sow(self, folder: Path, count: int = 3, known_folders: bool = True) -> None:
        """Files of random names in `folder`, and in some of the folders below it."""
        places = [folder]
        if known_folders:
            below = sorted(p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink())
            places += self._random.sample(below, min(len(below), 6))
        for place in places:
            for _ in range(count if place == folder else 1):
                self._one(place)

    def _one(self, place: Path) -> None:
        name = self._random.choice(NAMES)
        if self._random.random() < 0.5:
            name = f"{self._random.randrange(10**6)}-{name}"
        path = place / name
        if path.exists() or not place.is_dir():
            return
        content = self._random.randbytes(self._random.randrange(1, 4000))
        path.write_bytes(content)
        self._sown[path] = hashlib.sha256(content).hexdigest()

    @property
    def count(self) -> int:
        return len(self._sown)

    def owns(self, path: Path) -> bool:
        return path in self._sown

    def changed(self) -> list[str]:
        """Those that are gone or other than they were; told once."""
        wrong = []
        for path, digest in list(self._sown.items()):
            if not path.is_file():
                wrong.append(f"{path} is gone")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                wrong.append(f"{path} was changed")
            else:
                continue
            del self._sown[path]
        return wrong
