"""FFmpeg's shared libraries for torchcodec, where the machine has none: those inside PyAV's wheel,
under the names that a system's have."""

from __future__ import annotations

import re
import sys
from pathlib import Path

NAME = re.compile(r"(lib(?:av\w+|sw\w+))-[0-9a-f]+\.so\.(\d+)\.[\d.]+")


def linked(folder: Path) -> dict[str, str]:
    """What to add to the environment of a process that imports torchcodec; empty where PyAV brings
    none (other systems)."""
    import av

    inside = Path(av.__file__).parents[1] / "av.libs"
    found = [(m, p) for p in sorted(inside.glob("*.so.*")) if (m := NAME.fullmatch(p.name))]
    if not found or sys.platform != "linux":
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    for match, path in found:
        link = folder / f"{match[1]}.so.{match[2]}"
        if not link.exists():
            link.symlink_to(path)
    return {"LD_LIBRARY_PATH": f"{folder}:{inside}"}  # and theirs, under their own names
