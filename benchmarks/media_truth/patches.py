"""Steps after composing: ffmpeg's remuxing, and bytes changed by hand for defects."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.media_truth.recipe import Step
from benchmarks.media_truth.reference import ffmpeg

MATRICES = {
    "upright": (1, 0, 0, 1),
    "rotated 90": (0, 1, -1, 0),
    "rotated 180": (-1, 0, 0, -1),
    "rotated 270": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down mirrored": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed across": (0, -1, -1, 0),
}
"""a, b, c, d of a display matrix that turns the coded picture as named (clockwise)."""


def next_path(path: Path, suffix: str | None = None) -> Path:
    """A name beside `path` that no earlier step used."""
    return path.with_name(f"{path.stem}+{suffix or path.suffix}")


def remux(*arguments: str, suffix: str | None = None, before: tuple[str, ...] = ()) -> Step:
    """ffmpeg from the last file to the next; `before` goes before the input."""

    def step(path: Path) -> Path:
        target = next_path(path, suffix)
        ffmpeg(*before, "-i", str(path), *arguments, str(target))
        return target

    return step


def rewrite(change: Callable[[bytearray], bytearray]) -> Step:
    """Change all bytes of the file."""

    def step(path: Path) -> Path:
        target = next_path(path)
        target.write_bytes(change(bytearray(path.read_bytes())))
        return target

    return step


def truncated(share: float) -> Step:
    """Only the first part of the file's bytes is there."""
    return rewrite(lambda content: content[: int(len(content) * share)])


def without_head(num_bytes: int) -> Step:
    """The first bytes are missing."""
    return rewrite(lambda content: content[num_bytes:])


def replaced(old: bytes, new: bytes, count: int = -1) -> Step:
    """Bytes replaced, in all or in the first `count` places. Raises ValueError if not there."""
    if len(old) != len(new):
        raise ValueError("a patch must not move what follows")

    def change(content: bytearray) -> bytearray:
        if old not in content:
            raise ValueError(f"{old!r} is not in the file")
        return content.replace(old, new, count)

    return rewrite(change)


def display_matrix(name: str, track: int = 0) -> Step:
    """The matrix of a track's header in MP4 or MOV, as a player is to turn the picture."""

    def change(content: bytearray) -> bytearray:
        at = -1
        for _ in range(track + 1):
            at = content.index(b"tkhd", at + 1)
        at += 4 + (52 if content[at + 4] == 1 else 40)
        width, height = (v >> 16 for v in struct.unpack(">II", content[at + 36 : at + 44]))
        a, b, c, d = MATRICES[name]
        x, y = (max(0, -(a * width + c * height)), max(0, -(b * width + d * height)))
        content[at : at + 36] = struct.pack(
            ">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30
        )
        return content

    return rewrite(change)


def edits(spans_s: Sequence[tuple[float, float]]) -> Step:
    """MP4 or MOV whose index is at the end: every track shows these spans of itself, one after
    the other. Times count from what its own edit list, if it has one, shows first."""

    def change(content: bytearray) -> bytearray:
        moov = content.index(b"moov") - 4
        if content.index(b"mdat") > moov:
            raise ValueError("the index must lie behind the data")
        movie_scale = _scale(content, content.index(b"mvhd"))
        at = moov
        while (at := content.find(b"trak", at)) >= 0:
            track = at - 4
            old = content.find(b"edts", track, content.index(b"mdia", track))
            base = struct.unpack(">i", content[old + 24 : old + 28])[0] if old >= 0 else 0
            if old >= 0:
                size = struct.unpack(">I", content[old - 4 : old])[0]
                del content[old - 4 : old - 4 + size]
                _grow(content, (moov, track), -size)
            media_scale = _scale(content, content.index(b"mdhd", track))
            rows = b"".join(
                struct.pack(
                    ">IiI",
                    round((end - start) * movie_scale),
                    base + round(start * media_scale),
                    1 << 16,
                )
                for start, end in spans_s
            )
            table = struct.pack(">I4sII", 16 + len(rows), b"elst", 0, len(spans_s)) + rows
            box = struct.pack(">I4s", 8 + len(table), b"edts") + table
            place = content.index(b"mdia", track) - 4
            content[place:place] = box
            _grow(content, (moov, track), len(box))
            at = track + 8
        return content

    return rewrite(change)


def unused_labels(num_channels: int) -> Step:
    """MOV whose index is at the end: every channel of the sound is labelled as unused, as cameras
    with free inputs do."""

    def change(content: bytearray) -> bytearray:
        chan = content.index(b"chan") - 4
        size = struct.unpack(">I", content[chan : chan + 4])[0]
        box = struct.pack(">I4sIIII", 24 + 20 * num_channels, b"chan", 0, 0, 0, num_channels)
        box += bytes(20 * num_channels)
        around = [
            content.rindex(name, 0, chan) - 4
            for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
        ]
        content[chan : chan + size] = box
        _grow(content, (*around, around[-1] + 16), len(box) - size)
        return content

    return rewrite(change)


def _scale(content: bytearray, header: int) -> int:
    """Ticks a second, from a movie's or a medium's header."""
    at = header + 4 + (20 if content[header + 4] == 1 else 12)
    return struct.unpack(">I", content[at : at + 4])[0]


def _grow(content: bytearray, boxes: Sequence[int], count: int) -> None:
    for at in boxes:
        size = struct.unpack(">I", content[at : at + 4])[0] + count
        content[at : at + 4] = struct.pack(">I", size)


def stream_type(old: int, new: int) -> Step:
    """Another type of a stream in every program map of an MPEG transport stream."""

    def change(content: bytearray) -> bytearray:
        changed = 0
        for at in range(0, len(content), 188):
            start = at + 5
            if (
                content[at + 1] & 0x40
                and content[start : start + 1] == b"\x02"
                and content[at + 4] == 0
            ):
                size = ((content[start + 1] & 0x0F) << 8) | content[start + 2]
                section = content[start : start + 3 + size - 4]
                place = 12 + (((section[10] & 0x0F) << 8) | section[11])
                while place < len(section):
                    if section[place] == old:
                        section[place] = new
                        changed += 1
                    place += 5 + (((section[place + 3] & 0x0F) << 8) | section[place + 4])
                content[start : start + len(section)] = section
                crc = struct.pack(">I", _crc_mpeg2(bytes(section)))
                content[start + len(section) : start + len(section) + 4] = crc
        if not changed:
            raise ValueError(f"no stream of type {old:#x}")
        return content

    return rewrite(change)


def _crc_mpeg2(content: bytes) -> int:
    """CRC-32/MPEG-2, which is zlib's with all bits in the other order."""
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in content)
    value = zlib.crc32(mirrored) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)
