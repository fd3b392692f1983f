"""How long a media file should be by its own header: a copy that was cut off is shorter."""

from __future__ import annotations

import os
from pathlib import Path

from manifests.media.truncation import broken_promise

TOLERANCE = 0.01
"""Share of a file that its writer may have miscounted."""


def promised_bytes(path: Path) -> int | None:
    """Bytes that the file itself promises, where they are over 1 % more than there are; else None.
    `manifests.media.truncation` says of which formats that is known."""
    size = os.path.getsize(path)
    promise = broken_promise(path)
    return promise.num_bytes if promise and promise.num_bytes * (1 - TOLERANCE) > size else None
