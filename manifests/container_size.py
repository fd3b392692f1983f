"""How long a media file should be by its own header: a copy that was cut off is shorter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

MAX_BOXES = 100_000
TOLERANCE = 0.01
"""Share of a file that its writer may have miscounted."""
_CONTENT = (b"mdat", b"moov", b"moof")


def promised_bytes(path: Path) -> int | None:
    """Bytes that the file's header promises, where they are over 1 % more than there are; else
    None. Known for MP4 and its like (boxes), AVI (RIFF) and Matroska (EBML with a stated size)."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(64)
        if head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof"):
            promised = _of_boxes(file, size)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            promised = 8 + int.from_bytes(head[4:8], "little")
        elif head[:4] == b"\x1aE\xdf\xa3":
            promised = _of_segment(head)
        else:
            promised = None
    return promised if promised and promised * (1 - TOLERANCE) > size else None


def _of_boxes(file: BinaryIO, size: int) -> int | None:
    """The end of the box that reaches beyond the file, if it is one that holds content."""
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return None
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length < 8:  # 0: to the end of the file, whatever that is
            return None
        at += length
        if at > size:
            return at if head[4:8] in _CONTENT else None
    return None


def _of_segment(head: bytes) -> int | None:
    """EBML header and Segment, whose sizes are variable-length integers."""
    length, at = _vint(head, 4)
    if length is None or head[at + length:at + length + 4] != b"\x18S\x80g":
        return None
    length, at = _vint(head, at + length + 4)
    return None if length is None else at + length


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """Value and end of a variable-length integer; no value where it says `unknown` (all ones)."""
    if at >= len(data) or not data[at]:
        return None, at
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at:at + width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), at + width
