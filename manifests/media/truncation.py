"""Whether a file ends before its own structure says so.

Read from the outermost boxes of MP4 and MOV (an index whose data is missing counts too), the
segment of Matroska and WebM (where it has no length, its clusters and blocks), the RIFF chunks of
AVI, and the size that ASF and FLV headers state. Streams of packets (MPEG) promise nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_BOXES = 100_000
MAX_ELEMENTS = 1_000_000
"""Of a WebM that was written live: about three hours."""
BOXES = frozenset({b"moov", b"mdat", b"moof", b"mfra"})
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
REORDERED = 16
"""Pictures whose presentation times may be missing where a file was cut."""
READ_THROUGH = frozenset({"flv", "matroska", "mpegts", "mpeg"})
UNREAD_BYTES = 4096
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
CLUSTER = b"\x1f\x43\xb6\x75"
LIVE_ELEMENTS = frozenset(
    {
        CLUSTER,
        b"\x11\x4d\x9b\x74",
        b"\x15\x49\xa9\x66",
        b"\x16\x54\xae\x6b",
        b"\x1c\x53\xbb\x6b",
        b"\x12\x54\xc3\x67",
        b"\x19\x41\xa4\x69",
        b"\x10\x43\xa7\x70",
        b"\xa3",
        b"\xa0",
        b"\xe7",
        b"\xa7",
        b"\xab",
        b"\xec",
        b"\xbf",
    }
)
"""What a segment holds, and a cluster, by RFC 9559."""


@dataclass(frozen=True)
class Promise:
    """What a file says of itself. `has_length`: the header that FFmpeg read states the length."""

    num_bytes: int
    duration_us: int | None = None
    has_length: bool = True


def broken_promise(path: str | Path) -> Promise | None:
    """How long the file says it is, where that is more than it has; else None."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
            file.seek(0)
            promise = _reader(head)(file, size)
    except (OSError, struct.error, ValueError):
        return None
    return promise if promise is not None and promise.num_bytes > size else None


def before_the_cut(pts: list[int]) -> list[int]:
    """Up to the first picture that is missing: where a file ends in the middle of reordered
    pictures the last ones have gaps, which are no variable rate."""
    steps = [b - a for a, b in zip(pts, pts[1:], strict=False)]
    typical = sorted(steps)[len(steps) // 2] if steps else 0
    for index in range(max(0, len(steps) - REORDERED), len(steps)):
        if 2 * steps[index] > 3 * typical:
            return pts[: index + 1]
    return pts


def promised_length_us(promise: Promise, header_us: int | None, found_us: int) -> int | None:
    """What the header states, where that is more than what is there."""
    stated = header_us if promise.has_length else promise.duration_us
    return stated if stated and stated > found_us + 100_000 else None


def cut_note(path: str | Path, promise: Promise, found_us: int, promised_us: int | None) -> str:
    size = Path(path).stat().st_size
    share = "" if promised_us is None else f", {found_us / 1e6:.2f} of {promised_us / 1e6:.2f} s"
    return f"truncated: the file ends after {size} of {promise.num_bytes} bytes{share}"


def unread_note(path: str | Path, container: str, end: int | None) -> str | None:
    """Formats that are read from one end to the other: what a demuxer leaves unread at the end (a
    second file that was appended) is told."""
    size = Path(path).stat().st_size
    if not READ_THROUGH.intersection(container.split(",")) or end is None:
        return None
    left = size - end
    if left <= max(UNREAD_BYTES, size // 10):
        return None
    return f"unread: nothing after byte {end} of {size} can be read"


def _reader(head: bytes) -> Callable[[BinaryIO, int], Promise | None]:
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof"):
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


def _boxes(file: BinaryIO, size: int) -> Promise | None:
    at, whole = 0, True  # a file of fragments does not know how many will come
    is_index_alone = seen_data = False
    for _ in range(MAX_BOXES):
        if at + 8 > size:
            # An index whose data never comes: the cut fell between the two.
            return Promise(size + 8, None, False) if is_index_alone else None
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            wide = file.read(8)
            length = struct.unpack(">Q", wide)[0] if len(wide) == 8 else 16
        if length < 8:
            return None  # to the end of the file, or no box
        whole = whole and kind != b"moof"
        if at + length > size:
            known = kind in BOXES or is_index_alone
            return Promise(at + length, None, whole) if known else None
        if kind == b"moof" or (kind == b"moov" and not seen_data):
            is_index_alone = True
        elif kind == b"mdat":
            is_index_alone, seen_data = False, True
        at += length
    return None


def _segment(file: BinaryIO, size: int) -> Promise | None:
    at = 0
    while at < min(size, 1 << 16):
        file.seek(at)
        kind = file.read(4)
        length, width = _ebml_size(file.read(8))
        if length is None:
            return _live(file, at + 4 + width, size) if kind == SEGMENT and width else None
        if kind == SEGMENT:
            return Promise(at + 4 + width + length)
        at += 4 + width + length
    return None


def _live(file: BinaryIO, at: int, size: int) -> Promise | None:
    """A segment that was written without a length: the element that leads past the end."""
    for _ in range(MAX_ELEMENTS):
        if at + 2 > size:
            return None
        file.seek(at)
        head = file.read(12)
        id_width = 9 - head[0].bit_length()
        kind = head[:id_width]
        if id_width > 4 or kind not in LIVE_ELEMENTS:
            return None
        length, width = _ebml_size(head[id_width:])
        if length is None:
            if not width or kind != CLUSTER:
                return None
            length = 0  # its blocks follow, and are read as what follows it
        at += id_width + width + length
        if at > size:
            return Promise(at, None, False)
    return None


def _ebml_size(content: bytes) -> tuple[int | None, int]:
    """Size of an element and the bytes it takes; None for one that is not known, 0 bytes where
    there is no size."""
    width = 9 - content[0].bit_length() if content else 9
    if width > 8 or len(content) < width:
        return None, 0
    value = int.from_bytes(content[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width


def _riff(file: BinaryIO, size: int) -> Promise | None:
    at = 0
    head = file.read(1 << 12)
    place = head.find(b"avih")
    length_us = None
    if place >= 0 and len(head) >= place + 28:  # us per picture, and pictures
        length_us = (
            struct.unpack_from("<I", head, place + 8)[0]
            * struct.unpack_from("<I", head, place + 24)[0]
        )
    while at + 12 <= size:
        file.seek(at)
        kind, length, form = struct.unpack("<4sI4s", file.read(12))
        if kind != b"RIFF" or form not in (b"AVI ", b"AVIX"):
            return None
        end = at + 8 + length
        if end > size:
            return Promise(end, length_us or None, False)
        at = end + (length & 1)
    return None


def _asf(file: BinaryIO, size: int) -> Promise | None:
    head = file.read(1 << 16)
    at = head.find(ASF_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return None
    stated, flags = struct.unpack_from("<Q", head, at + 40)[0], head[at + 88]
    length_us = struct.unpack_from("<Q", head, at + 64)[0] // 10
    early_us = struct.unpack_from("<Q", head, at + 80)[0] * 1000
    # A broadcast does not know its end.
    return None if flags & 1 else Promise(stated, max(0, length_us - early_us) or None, False)


def _flv(file: BinaryIO, size: int) -> Promise | None:
    head = file.read(1 << 14)
    at = head.find(b"\x00\x08filesize\x00")
    if at < 0 or len(head) < at + 19:
        return None
    stated = struct.unpack_from(">d", head, at + 11)[0]
    return Promise(int(stated)) if 0 < stated < 2**53 else None
