"""Named arrays in one file with the same bytes every time: npz without dates, never pickled."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from manifests.files import atomic_path

FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def save_npz(path: Path | str, arrays: dict[str, np.ndarray]) -> None:
    """Write `arrays` (names may hold `/`) atomically; deterministic bytes."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(arrays[name]),
                                      allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", FIRST_ZIP_DATE)
            info.compress_type = zipfile.ZIP_STORED
            archive.writestr(info, buffer.getvalue())


def load_npz(path: Path | str, prefix: str = "") -> dict[str, np.ndarray]:
    """Arrays whose names begin with `prefix`, without it."""
    with np.load(path, allow_pickle=False) as archive:
        return {n[len(prefix):]: archive[n] for n in archive.files if n.startswith(prefix)}
