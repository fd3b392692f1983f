"""Whether a WAV holds the sound that its header promises.

A decoder reads what is there and says nothing: a file that was cut comes out shorter, and one
whose header promises too little is read in part. Either is a wrong score unless it is told.
"""

from __future__ import annotations

import os
from pathlib import Path

from evaluation.metrics.signals import MAX_GAP_SAMPLES, SAMPLE_RATE

TOLERANCE_S = MAX_GAP_SAMPLES / SAMPLE_RATE
"""Lengths of a pair may differ by as much, so a cut of as much is no error either."""
UNKNOWN = (0, 0xFFFFFFFF)
"""Lengths that programs write which cannot go back to the header; RF64 has its length elsewhere."""


def check_length(path: Path) -> None:
    """Raises ValueError with both lengths where the sound of a WAV is not as long as its header
    says. Other files, and headers that cannot be followed, are left to the decoder."""
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF" or file.seek(8) != 8 or file.read(4) != b"WAVE":
            return
        end, bytes_a_second = os.fstat(file.fileno()).st_size, 0
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            start = file.tell()
            if name == b"fmt ":
                bytes_a_second = int.from_bytes(file.read(12)[8:12], "little")
            if name == b"data":
                if bytes_a_second and size not in UNKNOWN:
                    _compare(file, path, start, size, end, bytes_a_second)
                return
            file.seek(start + size + size % 2)


def _compare(file, path: Path, start: int, size: int, end: int, bytes_a_second: int) -> None:
    slack = TOLERANCE_S * bytes_a_second
    if start + size - end > slack:
        raise ValueError(
            f"{path} is truncated: its header promises {size / bytes_a_second:.2f} s, "
            f"{(end - start) / bytes_a_second:.2f} s are there"
        )
    if (more := _foreign_bytes(file, start + size + size % 2, end)) > slack:
        raise ValueError(
            f"{path} has a wrong length in its header: it says {size / bytes_a_second:.2f} s, and "
            f"{more} bytes follow that are no part of a WAV; write the file again"
        )


def _foreign_bytes(file, place: int, end: int) -> int:
    """How many bytes lie behind the last chunk that can be followed."""
    while end - place >= 8:
        file.seek(place)
        head = file.read(8)
        after = place + 8 + int.from_bytes(head[4:], "little")
        if not all(32 <= byte < 127 for byte in head[:4]) or after > end:
            break
        place = after + after % 2
    return max(0, end - place)
