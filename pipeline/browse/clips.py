"""The clips of a corpus as one Arrow table that is searched, filtered and sorted here.

Whatever number a table keeps of a clip, or of the track that it is from, can be filtered by and
sorted by, under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.clock import FRAME_RATE
from manifests.corpus import KEYS, Corpus
from manifests.schema import TABLES
from pipeline.corpus.report.listing import place

PAGE_ROWS, MOST_ROWS = 50, 200
TEXTS = ("clip_id", "source", "uploader", "speaker_id", "split", "text", "offset_status")
"""What a word of the search may stand in."""
EXACT = ("speaker_id", "split", "offset_status")
FROM_CLIPS = ("clip_id", "track_id", "video_id", "start_frame", "num_frames", "text")
NOT_SCORES = ("start_frame", "end_frame", "num_frames", "audio_start_sample", "index_in_shard")
FIRST_SCORES = ("video_lag_ms", "confidence", "length_s")


class QueryError(ValueError):
    """A filter or order that the table does not have."""


@dataclass(frozen=True)
class Query:
    """What is wanted of the clips; `least` and `most` bound numbers by their names."""

    words: str = ""
    exact: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    marked: str = ""
    """yes | no | "" for both"""
    order: str = "clip_id"
    is_down: bool = False
    first: int = 0
    count: int = PAGE_ROWS


class Clips:
    """The published clips of a corpus. Raises ValueError where a table is damaged."""

    def __init__(self, corpus: Corpus) -> None:
        self.table = _joined(corpus)
        self.scores = _scores(self.table)
        self._row_of = {c: i for i, c in enumerate(self.table["clip_id"].to_pylist())}

    def __len__(self) -> int:
        return len(self.table)

    def values(self, name: str) -> list[str]:
        """The different values of a text column, sorted."""
        return sorted(v for v in pc.unique(self.table[name]).to_pylist() if v)

    def row(self, clip_id: str) -> dict[str, Any] | None:
        """One clip; None for an id that is no published clip's."""
        at = self._row_of.get(clip_id)
        return None if at is None else self.table.slice(at, 1).to_pylist()[0]

    def find(self, query: Query, marked: Sequence[str] = ()) -> tuple[int, list[dict[str, Any]]]:
        """How many clips fit, and the rows of the page asked for. Raises QueryError."""
        table = self.table
        kept = self._kept(query, marked)
        if kept is not None:
            table = table.filter(kept)
        if query.order not in (*self.scores, *TEXTS):
            raise QueryError(f"clips cannot be ordered by {query.order!r}")
        way = "descending" if query.is_down else "ascending"
        keys = [(query.order, way), ("clip_id", "ascending")]
        ordered = pc.sort_indices(
            table.select(list(dict.fromkeys((query.order, "clip_id")))),
            sort_keys=keys[: 1 if query.order == "clip_id" else 2],
        )
        count = min(max(query.count, 1), MOST_ROWS)
        page = table.take(ordered.slice(max(query.first, 0), count))
        return len(table), page.to_pylist()

    def _kept(self, query: Query, marked: Sequence[str]) -> pa.ChunkedArray | None:
        masks = []
        for word in query.words.lower().split():
            masks.append(pc.match_substring(self.table["words"], word))
        for name, value in query.exact.items():
            if name not in EXACT:
                raise QueryError(f"clips cannot be chosen by {name!r}")
            masks.append(pc.equal(self.table[name], value))
        if query.source:
            found = pc.match_substring(self.table["source"], query.source, ignore_case=True)
            by = pc.match_substring(self.table["uploader"], query.source, ignore_case=True)
            masks.append(pc.or_kleene(found, by))
        for bounds, holds in ((query.least, pc.greater_equal), (query.most, pc.less_equal)):
            for name, bound in bounds.items():
                if name not in self.scores:
                    raise QueryError(f"no number of clips is named {name!r}")
                masks.append(holds(self.table[name], bound))
        if query.marked:
            has = pc.is_in(self.table["clip_id"], pa.array(list(marked), pa.string()))
            masks.append(has if query.marked == "yes" else pc.invert(has))
        kept = None
        for mask in masks:  # what has no number is in no range of it
            mask = pc.fill_null(mask, False)
            kept = mask if kept is None else pc.and_(kept, mask)
        return kept


def _joined(corpus: Corpus) -> pa.Table:
    """Published clips with what other tables know of them, and `words`, all texts in small."""
    clips = _table(corpus.root, "clips")
    samples = _table(corpus.root, "samples").select(["clip_id", "speaker_id", "split", "shard"])
    table = clips.join(samples, "clip_id", join_type="inner")
    table = _with_numbers(table, _table(corpus.root, "tracks"), "track_id")
    for name in TABLES:
        if KEYS.get(name) == "clip_id" and name not in ("clips", "samples"):
            table = _with_numbers(table, _table(corpus.root, name), "clip_id")
    table = table.join(_sources(corpus), "video_id", join_type="left outer")
    table = table.append_column("at_s", _seconds(table["start_frame"]))
    table = table.append_column("length_s", _seconds(table["num_frames"]))
    texts = [pc.fill_null(table[name].cast(pa.string()), "") for name in TEXTS]
    words = pc.utf8_lower(pc.binary_join_element_wise(*texts, " "))
    keep = [n for n in table.column_names if n in (*FROM_CLIPS, *TEXTS, "address", "after")]
    keep += [n for n in table.column_names if n not in keep and _is_number(table[n].type)]
    table = table.select([*keep, "shard"]).append_column("words", words)
    return table.sort_by("clip_id").combine_chunks()


def _with_numbers(table: pa.Table, other: pa.Table, key: str) -> pa.Table:
    """`table` with the numbers of `other` that it does not have, or has of no row."""
    empty = {n for n in table.column_names if table[n].null_count == len(table)}
    names = [
        n
        for n in other.column_names
        if (n not in table.column_names or n in empty) and _is_number(other.schema.field(n).type)
    ]
    table = table.drop_columns([n for n in names if n in empty])
    return table.join(other.select([key, *names]), key, join_type="left outer")


def _table(root: Path, name: str) -> pa.Table:
    parts = sorted((root / "manifests" / name).glob("part-*.parquet"))
    flat = [pq.read_table(part, partitioning=None) for part in parts]
    whole = pa.concat_tables(flat)
    # Lists are no columns to look at, and joins do not carry them.
    return whole.select([f.name for f in whole.schema if not pa.types.is_list(f.type)])


def _sources(corpus: Corpus) -> pa.Table:
    """Name and address of each video, the first of those that gave the same bytes."""
    rows: dict[str, dict[str, str]] = {}
    for row in corpus.rows("sources"):
        link = place(row)
        rows.setdefault(
            row["video_id"],
            {
                "video_id": row["video_id"],
                "source": link.text,
                "address": link.base,
                "after": link.after,
                "uploader": corpus.source_name(row["video_id"]) or "",
            },
        )
    names = ("video_id", "source", "address", "after", "uploader")
    return pa.Table.from_pylist(list(rows.values()), pa.schema([(n, pa.string()) for n in names]))


def _seconds(frames: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.divide(pc.cast(frames, pa.float64()), float(FRAME_RATE))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _scores(table: pa.Table) -> list[str]:
    """Names of the numbers that clips have, those that are asked for most first."""
    found = [
        n
        for n in table.column_names
        if n not in NOT_SCORES
        and _is_number(table.schema.field(n).type)
        and table[n].null_count < max(len(table), 1)
    ]
    return sorted(found, key=lambda n: (n not in FIRST_SCORES, n))
