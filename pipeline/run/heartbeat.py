"""How far a worker is within its videos: a small file in the run's scratch folder, which the
driver on the same machine reads. Workers on other machines tell nothing meanwhile."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

INTERVAL_S = 1.0


def _path(worker: str, folder: Path | None = None) -> Path:
    return (folder or Path(tempfile.gettempdir())) / f"at-{worker}.json"


def tell(worker: str, decoded_s: Mapping[str, float]) -> None:
    """Seconds of video that the worker has been through, by "stage/unit". A disk that is full is
    not this one's to report."""
    path = _path(worker)
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(decoded_s))
        os.replace(part, path)
    except OSError:
        return


def told(worker: str, folder: Path) -> dict[str, float]:
    """What a worker told last; nothing where it is on another machine."""
    try:
        return dict(json.loads(_path(worker, folder).read_text()))
    except (OSError, ValueError, TypeError):
        return {}
