"""A built corpus, read from its folder alone: tables, status rows, shards.

What a person or a video contributed can be found here by id (`find`), with licence and source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.paths import check_out
from manifests.plain_words import read_json
from manifests.schema import TABLES
from manifests.shards import SampleIndex, ShardError, ShardSample
from manifests.walk import OWN_MARK

KEYS = {
    "requests": "request_id",
    "hints": "hint_id",
    "expanded": "source_id",
    "sources": "video_id",
    "videos": "video_id",
    "shots": "shot_id",
    "tracks": "track_id",
    "identities": "track_id",
    "offsets": "track_id",
    "clips": "clip_id",
    "speakers": "track_id",
    "samples": "clip_id",
    "rejects": "stage",
    "failures": "stage",
}
"""A column by which a table is known for one of ours."""


class NotACorpusError(ValueError):
    """The folder holds no corpus of ours; the message says what was looked for."""


class Corpus:
    """`root` is a corpus folder. Raises NotACorpusError."""

    def __init__(self, root: Path | str) -> None:
        check_out(root)
        self.root = Path(root)
        if not (self.root / "manifests").is_dir():
            if (self.root / "work" / "status.json").exists():
                raise NotACorpusError(
                    f"the corpus at {self.root} is not finished and has no tables yet: `yld status "
                    f"{self.root}` tells how far it is, the same `yld build` again goes on."
                )
            if (self.root / OWN_MARK).exists() and (self.root / "work").is_dir():
                raise NotACorpusError(
                    f"the corpus at {self.root} was begun and stopped before its first video; the "
                    "same `yld build` again goes on."
                )
            raise NotACorpusError(
                f"{self.root} holds no corpus: there is no folder `manifests` in it. "
                f"Build one with `yld build SOURCES... --out {self.root}`."
            )
        if not _is_ours(self.root):
            raise NotACorpusError(
                f"{self.root} holds no corpus: there is a folder `manifests` in it, but no table "
                f"of ours, and no {OWN_MARK}. Build one with `yld build SOURCES... --out` "
                "and another folder."
            )
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._indexes: dict[str, SampleIndex] = {}

    @property
    def name(self) -> str:
        """What the corpus calls itself."""
        path = self.root / "dataset.json"
        return str(_mapping(path).get("name", self.root.name)) if path.exists() else self.root.name

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table as mappings; empty where the table has no part yet."""
        if table not in self._rows:
            parts = sorted((self.root / "manifests" / table).glob("part-*.parquet"))
            tables = [_read_part(part, KEYS.get(table)) for part in parts]
            self._rows[table] = pa.concat_tables(tables).to_pylist() if tables else []
        return self._rows[table]

    def columns(self, table: str, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Some columns of a table, a tuple a row; the rest is not read into memory as objects."""
        for part in sorted((self.root / "manifests" / table).glob("part-*.parquet")):
            yield from column_rows(part, part, table, names)

    def arrow(self, table: str, names: Sequence[str]) -> pa.Table:
        """Some columns of a table as Arrow has them; empty where there is no such table."""
        parts = [
            _read_part(part, KEYS.get(table), part, names)
            for part in sorted((self.root / "manifests" / table).glob("part-*.parquet"))
        ]
        return pa.concat_tables(parts) if parts else pa.table({name: [] for name in names})

    def status(self) -> list[dict[str, Any]]:
        """One row per stage: stage, inputs, accepted, rejected, failed, outputs, pending, cost."""
        path = self.root / "manifests" / "status.json"
        return status_rows(path, _mapping(path).get("stages")) if path.exists() else []

    @cached_property
    def splits(self) -> dict[str, Any]:
        """The frozen split policy (`manifests/splits.py`)."""
        path = self.root / "manifests" / "splits.json"
        return _mapping(path) if path.exists() else {}

    def split_sentence(self) -> str:
        """How the splits were made and why."""
        return self.splits.get("reason", "No splits were made.")

    @cached_property
    def _source_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for row in self.rows("sources"):
            folder = Path(row["address"]).parent.name if row["kind"] == "file" else row["address"]
            names.setdefault(row["video_id"], row["uploader"] or folder)
        return names

    def source_name(self, video_id: str) -> str | None:
        """The uploader, folder or link that a video came from."""
        return self._source_names.get(video_id)

    def sample(self, row: dict[str, Any]) -> ShardSample:
        """One sample by its row of the table `samples`, without the rest of its shard. Raises
        ShardError."""
        shard, key = row["shard"], row["clip_id"]
        if shard not in self._indexes:
            self._indexes[shard] = SampleIndex.of(self.root / shard)
        try:
            return self._indexes[shard][key]
        except KeyError:
            raise ShardError(f"{shard} does not hold {key}; run `yld verify`") from None

    def find(self, identifier: str) -> dict[str, list[dict[str, Any]]]:
        """Rows of every table that name a source, video, track, speaker or clip by id."""
        found = {}
        for table in TABLES:
            rows = [
                row
                for row in self.rows(table)
                if any(
                    isinstance(v, str)
                    and (v == identifier or (k.endswith("_id") and v.startswith(identifier + "-")))
                    for k, v in row.items()
                )
            ]
            if rows:
                found[table] = rows
        return found


def shards_of(root: Path) -> list[Path]:
    """The shards below a corpus folder, by name. Raises ValueError where there are none."""
    found = sorted((root / "shards").glob("*/*.tar"))
    if not found:
        raise ValueError(f"{root} has no shards; build one with `yld build`")
    return found


def _is_ours(root: Path) -> bool:
    """Whether the folder `manifests` in `root` is one of ours: by the mark, our own files, or, in a
    copy of a part, one table (a damaged one is told when it is read)."""
    if any(
        (root / name).is_file()
        for name in (OWN_MARK, "manifests/status.json", "manifests/splits.json", "work/status.json")
    ):
        return True
    return any(
        _may_be_ours(part, KEYS[table])
        for table in TABLES
        for part in (root / "manifests" / table).glob("part-*.parquet")
    )


def _may_be_ours(part: Path, key: str) -> bool:
    try:
        return key in pq.read_schema(part).names
    except (pa.ArrowException, OSError):
        return True


def status_rows(path: Path, rows: Any) -> list[dict[str, Any]]:
    """The rows of a status file, checked. Raises ValueError naming it."""
    counts = ("inputs", "accepted", "rejected", "failed", "pending")
    if not isinstance(rows, list) or not all(
        isinstance(row, dict)
        and isinstance(row.get("stage"), str)
        and all(isinstance(row.get(name), int) for name in counts)
        for row in rows
    ):
        raise ValueError(f"{path} is no status of a build; it is damaged, or another program's")
    return rows


def _mapping(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no file of a corpus; it is damaged, or another program's")
    return content


def column_rows(
    where: Path | str, content: Path | BinaryIO, table: str, names: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Some columns of a table's part, a tuple a row; `where` it lies is for messages. Raises
    ValueError for a part that is damaged or not ours."""
    for batch in _read_part(where, KEYS.get(table), content, names).to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _read_part(
    path: Path | str,
    key: str | None,
    content: Path | BinaryIO | None = None,
    names: Sequence[str] | None = None,
) -> pa.Table:
    """Whole, or the columns `names` alone, in this order."""
    try:
        part = pq.ParquetFile(path if content is None else content)
        there = part.schema_arrow.names
        wanted = None if names is None else [n for n in names if n in there]
        table = part.read(wanted)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is damaged, or no table of ours; put it back from a copy, or "
            f"build again ({' '.join(str(error).split())[:120]})"
        ) from None
    if key is not None and key not in there:
        raise ValueError(f"{path} is no table of ours: it has no column {key}")
    if names is None:
        return table
    if lacking := sorted(set(names) - set(there)):
        raise ValueError(f"{path} has no column {lacking[0]}; build again with this yld")
    return table.select(list(names))
