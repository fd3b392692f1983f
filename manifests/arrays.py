"""Named arrays in one file with the same bytes every time: npz without dates, never pickled."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np

from manifests.files import atomic_path

FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


class NpzWriter:
    """Adds arrays to an npz as they come, so that not all of them must be in memory."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Append `arrays` in the order of their names, which may hold `/`."""
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(
                buffer, np.ascontiguousarray(arrays[name]), allow_pickle=False
            )
            info = zipfile.ZipInfo(f"{name}.npy", FIRST_ZIP_DATE)
            info.compress_type = zipfile.ZIP_STORED
            self._archive.writestr(info, buffer.getbuffer())


@contextmanager
def npz_writer(path: Path | str) -> Iterator[NpzWriter]:
    """Write an npz piece by piece; it appears at `path` as a whole once the block ends."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        yield NpzWriter(archive)


def save_npz(path: Path | str, arrays: dict[str, np.ndarray]) -> None:
    """Write `arrays` (names may hold `/`) atomically; deterministic bytes."""
    with npz_writer(path) as out:
        out.add(arrays)


def load_npz(path: Path | str, prefix: str = "") -> dict[str, np.ndarray]:
    """Arrays whose names begin with `prefix`, without it."""
    archive = open_npz(path)
    return {n[len(prefix) :]: archive[n] for n in archive.files if n.startswith(prefix)}


def open_npz(path: Path | str) -> np.lib.npyio.NpzFile:
    """The arrays by name, read when asked for. The file asked for last stays open: a long video's
    side file has thousands of tracks, and its directory is read once."""
    facts = Path(path).stat()
    return _opened(str(path), facts.st_mtime_ns, facts.st_size, facts.st_ino)


@lru_cache(maxsize=1)
def _opened(path: str, *_: int) -> np.lib.npyio.NpzFile:
    return np.load(path, allow_pickle=False)
