"""Whether a file ends before its own structure says so.

Read from the outermost boxes of MP4 and MOV, the segment of Matroska and WebM, the RIFF chunks of
AVI, and the size that ASF and FLV headers state. Streams of packets (MPEG) promise nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

BOXES = frozenset({b"moov", b"mdat", b"moof", b"mfra"})
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def promised_bytes(path: str | Path) -> int | None:
    """How long the file says it is, in bytes, where that is more than it has; else None."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
            file.seek(0)
            promised = _reader(head)(file, size)
    except (OSError, struct.error, ValueError):
        return None
    return promised if promised is not None and promised > size else None


def _reader(head: bytes) -> Callable[[BinaryIO, int], int | None]:
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
        return _boxes
    if head[:4] == EBML:
        return _segment
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _riff
    if head[:16] == ASF_HEADER:
        return _asf
    if head[:3] == b"FLV":
        return _flv
    return lambda file, size: None


def _boxes(file: BinaryIO, size: int) -> int | None:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = struct.unpack(">Q", file.read(8))[0]
        if length < 8:
            return None  # to the end of the file, or no box
        if at + length > size:
            return at + length if kind in BOXES else None
        at += length
    return None


def _segment(file: BinaryIO, size: int) -> int | None:
    at = 0
    while at < min(size, 1 << 16):
        file.seek(at)
        kind = file.read(4)
        length, width = _ebml_size(file.read(8))
        if length is None:
            return None
        if kind == SEGMENT:
            return at + 4 + width + length
        at += 4 + width + length
    return None


def _ebml_size(content: bytes) -> tuple[int | None, int]:
    """Size of an element and the bytes it takes; None for one that is not known."""
    width = 9 - content[0].bit_length() if content else 9
    if width > 8 or len(content) < width:
        return None, 0
    value = int.from_bytes(content[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width


def _riff(file: BinaryIO, size: int) -> int | None:
    at = 0
    while at + 12 <= size:
        file.seek(at)
        kind, length, form = struct.unpack("<4sI4s", file.read(12))
        if kind != b"RIFF" or form not in (b"AVI ", b"AVIX"):
            return None
        end = at + 8 + length
        if end > size:
            return end
        at = end + (length & 1)
    return None


def _asf(file: BinaryIO, size: int) -> int | None:
    head = file.read(1 << 16)
    at = head.find(ASF_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return None
    stated, flags = struct.unpack_from("<Q", head, at + 40)[0], head[at + 88]
    return None if flags & 1 else stated  # a broadcast does not know its end


def _flv(file: BinaryIO, size: int) -> int | None:
    head = file.read(1 << 14)
    at = head.find(b"\x00\x08filesize\x00")
    if at < 0 or len(head) < at + 19:
        return None
    stated = struct.unpack_from(">d", head, at + 11)[0]
    return int(stated) if 0 < stated < 2**53 else None
