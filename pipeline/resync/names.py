"""Names of corrected files: the source's own place and name, so that labels beside still match.

What is written is MP4. A name that ends in `.mp4` or `.m4v` stays as it is; of any other the
suffix, and nothing else, becomes `.mp4`. A span that a list cuts out of a long video gets its
start behind the stem, as AVSpeech does it (`id_12.500000.mp4`). Where two would have one name,
those whose name did not have to change come first, the others keep their old suffix before the new
one (`talk.avi.mp4`), and if that is taken too, get a hash of where they lie.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from manifests.ids import hash_id

OWN_SUFFIXES = (".mp4", ".m4v")
NEW_SUFFIX = ".mp4"
MAX_BYTES = 255


@dataclass(frozen=True)
class Wanted:
    """A file to name: its path below the corrected folder, and the span if it is only one."""

    inside: str
    start_s: float | None = None
    end_s: float | None = None


def shown(text: str) -> str:
    """`text` with bytes that are no UTF-8 and control characters as %XX: every table can say it."""
    return "".join(
        f"%{ord(c) - 0xDC00:02X}"
        if 0xDC80 <= ord(c) <= 0xDCFF
        else f"%{ord(c):02X}"
        if ord(c) < 32 or ord(c) == 127
        else c
        for c in os.fsencode(text).decode("utf-8", "surrogateescape")
    )


def plain(text: str) -> str:
    """One part of a path as `shown`, and with nothing in it that divides paths elsewhere."""
    return shown(text).replace("/", "%2F").replace("\\", "%5C")


def targets(wanted: Sequence[Wanted], tells_case: bool = True) -> list[PurePosixPath]:
    """Relative paths, one for each, all different (also to those who do not tell capital letters
    from small ones, where `tells_case` is false), and none of which leads out of its folder.

    Independent of the order of `wanted`.
    """
    key: Callable[[PurePosixPath], str] = (
        (lambda p: str(p)) if tells_case else (lambda p: str(p).casefold())
    )
    order = sorted(
        range(len(wanted)),
        key=lambda i: (
            not _keeps(wanted[i]),
            wanted[i].inside,
            wanted[i].start_s or 0.0,
            wanted[i].end_s or 0.0,
        ),
    )
    taken: set[str] = set()
    found: dict[int, PurePosixPath] = {}
    for index in order:
        choices = _choices(wanted[index])
        choice = next((c for c in choices if key(c) not in taken), None)
        number = 2
        while choice is None:  # the same span of the same file twice
            again = choices[-1].with_name(f"{choices[-1].stem}-{number}{NEW_SUFFIX}")
            choice, number = (again if key(again) not in taken else None), number + 1
        taken.add(key(choice))
        found[index] = choice
    return [found[i] for i in range(len(wanted))]


def tells_case(folder: Path) -> bool:
    """Whether `folder`, which exists and has a letter in its name, is on a file system that tells
    capital letters from small ones."""
    return not folder.with_name(folder.name.swapcase()).exists()


def _keeps(item: Wanted) -> bool:
    name = PurePosixPath(item.inside)
    return item.start_s is None and name.suffix.lower() in OWN_SUFFIXES


def _choices(item: Wanted) -> list[PurePosixPath]:
    *folders, name = [p for p in PurePosixPath(item.inside).parts if p not in ("/", "..", ".")]
    folder = PurePosixPath(*map(_short, map(plain, folders)))
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    stem, suffix = plain(stem), plain(suffix)
    new = suffix if suffix.lower() in OWN_SUFFIXES else NEW_SUFFIX
    mark = "" if item.start_s is None else f"_{item.start_s:.6f}"
    to = "" if item.end_s is None else f"-{item.end_s:.6f}"
    where = hash_id("resync", item.inside, str(item.start_s), str(item.end_s), length=8)
    names = [f"{stem}{mark}{new}"]
    if mark:
        names.append(f"{stem}{mark}{to}{new}")
    if suffix.lower() not in OWN_SUFFIXES:
        names.append(f"{stem}{mark}{suffix}{NEW_SUFFIX}")
    names.append(f"{stem}{mark}-{where}{new}")
    return [folder / _short(n) for n in names]


def _short(name: str) -> str:
    """`name`, or where it is too long for a file system its beginning, a hash, and its suffix."""
    if len(name.encode()) <= MAX_BYTES:
        return name
    suffix = PurePosixPath(name).suffix[:16]
    head = name.encode()[: MAX_BYTES - 40].decode(errors="ignore")
    return f"{head}-{hash_id('name', name, length=8)}{suffix}"
