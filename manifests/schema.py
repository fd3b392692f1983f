"""Records as Parquet: units, meaning and schema version travel in the field metadata."""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests import records as rec
from manifests.files import atomic_path

SCHEMA_VERSION = "1"
TABLES: dict[str, type] = {
    "requests": rec.Request,
    "hints": rec.Hint,
    "expanded": rec.Source,
    "sources": rec.Fetched,
    "videos": rec.Video,
    "shots": rec.Shot,
    "tracks": rec.Track,
    "identities": rec.Identity,
    "offsets": rec.Offset,
    "clips": rec.Clip,
    "speakers": rec.Speaker,
    "samples": rec.Sample,
    "rejects": rec.Reject,
    "failures": rec.Failure,
}
BESIDE: dict[str, tuple[type, ...]] = {"clips": (rec.Scores, rec.Opinion)}
"""Records of the same id whose columns stand in a table beside its own, null where there is none
of them: what was measured of its rows afterwards."""


def _row_of(table: str) -> type:
    """A table's record with the columns beside its own, all null unless given."""
    kind = TABLES[table]
    have = {item.name for item in dataclasses.fields(kind)}
    more = [
        (item.name, item.type, dataclasses.field(default=None, metadata=item.metadata))
        for other in BESIDE[table]
        for item in dataclasses.fields(other)
        if item.name not in have
    ]
    told = {"__doc__": kind.__doc__, "__module__": __name__}
    return dataclasses.make_dataclass(
        kind.__name__, more, bases=(kind,), namespace=told, frozen=True
    )


TABLES |= {table: _row_of(table) for table in BESIDE}
LATER = frozenset({"hints"})
"""Tables that corpora of earlier releases have not."""
TABLE_OF = {kind: name for name, kind in TABLES.items()}
SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def arrow_type(hint: Any) -> pa.DataType:
    """The Arrow type of a record field's annotation. Raises TypeError."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return arrow_type(next(a for a in args if a is not type(None)))
    if origin is list:
        return pa.list_(arrow_type(args[0]))
    if hint in SCALARS:
        return SCALARS[hint]
    raise TypeError(f"no Arrow type for {hint!r}")


def arrow_schema(kind: type) -> pa.Schema:
    """The schema of a record's table."""
    return pa.schema(
        _arrow_fields(kind), metadata={"record": kind.__name__, "schema_version": SCHEMA_VERSION}
    )


def table_schema(table: str) -> pa.Schema:
    """The schema of a table by its name."""
    return arrow_schema(TABLES[table])


def _arrow_fields(kind: type) -> list[pa.Field]:
    hints = typing.get_type_hints(kind)
    fields = []
    for item in dataclasses.fields(kind):
        hint = hints[item.name]
        nullable = type(None) in typing.get_args(hint)
        fields.append(
            pa.field(
                item.name,
                arrow_type(hint),
                nullable=nullable,
                metadata={
                    "unit": item.metadata.get("unit", ""),
                    "doc": item.metadata.get("doc", ""),
                },
            )
        )
    return fields


GROUP_ROWS = 65_536
"""Rows of a table that are in memory at a time, a row group of the file."""


def write_table(path: Path, kind: type, rows: Iterable[Any]) -> None:
    """Write records atomically as one Parquet file, some at a time.

    A row may be a tuple of records of one id too (None for one that is not there), of which the
    first that has a column gives it.
    """
    schema = arrow_schema(kind)
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        is_empty, remaining = True, iter(rows)
        while (group := list(itertools.islice(remaining, GROUP_ROWS))) or is_empty:
            columns = {name: [_value(r, name) for r in group] for name in schema.names}
            writer.write_table(pa.Table.from_pydict(columns, schema))
            is_empty = False
            if len(group) < GROUP_ROWS:
                break


def _value(row: Any, name: str) -> Any:
    parts = row if isinstance(row, tuple) else (row,)
    return next((getattr(part, name) for part in parts if hasattr(part, name)), None)


def schema_markdown() -> str:
    """`docs/manifest-schema.md`, from the records."""
    lines = [
        "# Manifest tables",
        "",
        "Generated from `manifests/records.py` by `python -m manifests.schema`; do not edit.",
        "",
        f"Schema version {SCHEMA_VERSION}. Tables join on the ids; each id begins with "
        "its parent's.",
        "",
    ]
    for name, kind in TABLES.items():
        lines += [
            f"## {name}",
            "",
            (kind.__doc__ or "").strip().splitlines()[0],
            "",
            "| column | type | unit | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for item in table_schema(name):
            unit = item.metadata[b"unit"].decode()
            kind_text = str(item.type) + (", null" if item.nullable else "")
            doc = item.metadata[b"doc"].decode().replace("|", "or")
            lines.append(f"| `{item.name}` | {kind_text} | {unit} | {doc} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(schema_markdown(), end="")
