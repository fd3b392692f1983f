"""Arrays made from a weight file once a machine, mapped into the memory of all its workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from manifests.files import atomic_path
from manifests.weights.cache import locked


def derived_folder() -> Path:
    """~/.cache/yld/derived; it need not exist, and may be emptied at any time."""
    return Path.home() / ".cache" / "yld" / "derived"


def derived(name: str, num_values: int, make: Callable[[], np.ndarray]) -> np.ndarray:
    """float32 [num_values], read only: as `make` gives it, from the file `name` once it was made.

    Where the folder cannot be written, each process makes its own.
    """
    path = derived_folder() / f"{name}.npy"
    if (found := _mapped(path, num_values)) is not None:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent / f".{name}.lock"):
            if (found := _mapped(path, num_values)) is not None:  # made by another meanwhile
                return found
            values = make()
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
    except OSError:
        return make()
    found = _mapped(path, num_values)
    return values if found is None else found


def _mapped(path: Path, num_values: int) -> np.ndarray | None:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    good = values.dtype == np.float32 and values.shape == (num_values,)
    return values if good else None
