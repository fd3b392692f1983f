"""Where something still stands in a folder: bytes of all files, and what is packed in them.

Compressed content is looked through unpacked: tables (Parquet), the ledger (SQLite, its free pages
as raw bytes too), batches. Of what may be terabytes only that is read which can name anything: of
tars names and `json`, of media the names.
"""

from __future__ import annotations

import json
import mmap
import re
import sqlite3
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

MEDIA = "media"
"""Folder of what was fetched."""
PARQUET, SQLITE = b"PAR1", b"SQLite format 3\0"


def traces(root: Path, needles: Collection[str]) -> list[tuple[str, str]]:
    """(file relative to `root`, what was found in it), sorted; a file's name counts as its content.
    Links out of the folder are not followed."""
    if not needles:
        return []
    words = sorted({n.encode("utf-8", "backslashreplace") for n in needles if n})
    words += [w for n in needles if n and (w := _as_json(n)) not in words]
    pattern = re.compile(b"|".join(map(re.escape, words)))
    found: set[tuple[str, str]] = set()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink()):
        name = path.relative_to(root).as_posix()
        for content in _contents(path, name):
            found.update((name, hit.decode("utf-8", "replace")) for hit in pattern.findall(content))
    return sorted(found)


def _as_json(text: str) -> bytes:
    """As JSON in ASCII writes it, without the quotes."""
    return json.dumps(text)[1:-1].encode()


def _contents(path: Path, name: str) -> Iterator[bytes | mmap.mmap]:
    yield name.encode("utf-8", "backslashreplace")
    if not path.stat().st_size or path.parent.name == MEDIA:
        return
    if path.suffix == ".tar" and (told := _tar(path)) is not None:
        yield told
        return
    with open(path, "rb") as file:
        head = file.read(16)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            yield raw
    if head.startswith(PARQUET):
        yield from _table(path)
    elif head.startswith(SQLITE):
        yield from _database(path)
    elif path.name.endswith(".jsonl.z"):
        yield zlib.decompress(path.read_bytes())


def _tar(path: Path) -> bytes | None:
    """Names of the members, and those that are text; None for what cannot be read as a tar, and is
    looked through as it is."""
    try:
        with tarfile.open(path, "r:") as tar:
            return b"\n".join(
                member.name.encode("utf-8", "surrogateescape") + _text(tar, member)
                for member in tar
                if member.isreg()
            )
    except (tarfile.TarError, OSError):
        return None


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.name.endswith(".json") else None
    return b"" if file is None else file.read()


def _table(path: Path) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches():
        for column in batch.columns:
            if pa.types.is_list(column.type):
                column = column.flatten()
            if pa.types.is_string(column.type):
                yield "\n".join(v for v in column.to_pylist() if v).encode("utf-8", "replace")


def _database(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as base:
        for stage, unit, content in base.execute("SELECT stage, unit, content FROM entries"):
            yield f"{stage} {unit}".encode()
            yield zlib.decompress(content)
