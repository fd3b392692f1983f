"""The tables of a corpus, written from finished units without having them all in memory.

A table is one file, `part-000000.parquet`, as long as its corpus is small. Of a large one to which
sources are added the old parts stay, and what the new units gave is a part of its own; a unit that
was done anew makes all of them anew. Tables of sources alone (`WHOLE`) are written anew each time:
what is said beside a file may change without it.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manifests import records as rec
from manifests.columns import Columns, Picked, values_of
from manifests.schema import BESIDE, TABLES, write_table
from pipeline.run.entry import Entry
from pipeline.run.finished import Entries, Finished, fallen, totals_of
from pipeline.storage.own_folder import OwnFolder

PARTS_FROM = 100_000
"""Samples of a corpus whose tables are appended to."""
SORTED_AT_ONCE = 1000
"""Units of a stage whose records are sorted in memory, whatever their ids."""
WHOLE = frozenset({"requests", "hints", "expanded", "sources"})
PART = re.compile(r"manifests/([a-z]+)/part-(\d{6})\.parquet")


class _NotInOrderError(Exception):
    """Sorted by unit, a stage's records are not sorted by id."""


def rows_of(entries: Entries, kind: type, above: int = -1) -> Iterator[Any]:
    """All records of `kind`, sorted by id; of units with a number `above` alone. Where two stages
    put them out, the later one's stand for those of the same id. Raises _NotInOrderError."""
    stages = [units for units in entries.values() if kind in totals_of(units).kinds]
    if len(stages) == 1 and len(stages[0]) > SORTED_AT_ONCE:
        return _one_by_one(stages[0], kind, above)
    return iter(_sorted(stages, kind, above))


def all_of(entries: Entries, kind: type, above: int = -1) -> Iterator[Any]:
    """`rows_of` whatever the ids are."""
    try:
        return iter(list(rows_of(entries, kind, above)))
    except _NotInOrderError:
        stages = [units for units in entries.values() if kind in totals_of(units).kinds]
        return iter(_sorted(stages, kind, above))


def columns_of(
    entries: Entries, kind: type, shared: Collection[str], above: int = -1
) -> Columns[Any]:
    """`all_of` as columns; `shared` names texts that many rows have in common."""
    try:
        return Columns(kind, shared, rows_of(entries, kind, above))
    except _NotInOrderError:
        return Columns(kind, shared, all_of(entries, kind, above))


def fell(entries: Entries, above: int = -1) -> tuple[list[rec.Reject], list[rec.Failure]]:
    """Rejects and failures, sorted by stage and item."""
    rejects: list[rec.Reject] = []
    failures: list[rec.Failure] = []
    for units in entries.values():
        for unit, entry in fallen(units):
            if _number(units, unit) > above:
                rejects += [r.reject for r in entry.results if r.reject is not None]
                failures += [r.failure for r in entry.results if r.failure is not None]
    rejects.sort(key=lambda r: (r.stage, r.item_id))
    failures.sort(key=lambda r: (r.stage, r.item_id))
    return rejects, failures


@dataclass(frozen=True)
class Content:
    """What the tables are made of, beside the entries: rows that publishing made or changed."""

    requests: list[rec.Request]
    sources: list[rec.Fetched]
    clips: Sequence[rec.Clip]
    speakers: list[rec.Speaker]
    samples: Sequence[rec.Sample]
    rejects: list[rec.Reject]
    """Of publishing itself."""
    num_kept: int = 0
    """Samples at the beginning that were published before."""
    known: frozenset[str] = field(default_factory=frozenset)
    """Tracks whose speakers, and clips whose rejects, were published before."""
    hints: list[rec.Hint] = field(default_factory=list)
    """What corpora said of the sources."""


def beside(
    clips: Iterable[rec.Clip], entries: Entries, above: int = -1
) -> Iterator[tuple[rec.Clip, rec.Scores | None, rec.Opinion | None]]:
    """Clips, sorted by id, each with what was measured of it; None for what was not."""
    found = [_Ahead(iter(columns_of(entries, kind, (), above))) for kind in BESIDE["clips"]]
    for clip in clips:
        scores, opinion = (rows.of(clip.clip_id) for rows in found)
        yield clip, scores, opinion


class _Ahead:
    """Records sorted by id, asked for ids in order."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, identifier: str) -> Any:
        while self._next is not None and rec.record_id(self._next) < identifier:
            self._next = next(self._rows, None)
        is_it = self._next is not None and rec.record_id(self._next) == identifier
        return self._next if is_it else None


def write(
    own: OwnFolder, entries: Entries, content: Content, state: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Write the tables; `state` is what the last publication gave back if its rows still stand,
    else empty. Gives the state for the next one and the names of all parts."""
    now = _state(entries)
    parts = _kept_parts(own, entries, state) if len(content.samples) >= PARTS_FROM else {}
    above = int(state["up_to"]) if parts else -1
    names: list[str] = []
    for table, kind in TABLES.items():
        number = 0 if table in WHOLE else parts.get(table, 0)
        make = _rows(table, kind, entries, content, above if number else -1, is_new=number > 0)
        name = f"manifests/{table}/part-{number:06d}.parquet"
        if not number or next(make(), None) is not None:
            own.about_to_write([name])
            _write(own, name, entries, table, make, above if number else -1)
            number += 1
        names += [f"manifests/{table}/part-{i:06d}.parquet" for i in range(number)]
        now["parts"][table] = number
    own.wrote(names)
    own.remove([n for n in own.files if PART.fullmatch(n) and n not in names])
    return (now if len(content.samples) >= PARTS_FROM else {}), names


def _write(
    own: OwnFolder,
    name: str,
    entries: Entries,
    table: str,
    make: Callable[[], Iterator[Any]],
    above: int,
) -> None:
    kind = TABLES[table]
    try:
        write_table(own.root / name, kind, make())
    except _NotInOrderError:
        write_table(own.root / name, kind, all_of(entries, kind, above))


def _rows(
    table: str, kind: type, entries: Entries, content: Content, above: int, *, is_new: bool
) -> Callable[[], Iterator[Any]]:
    if table in ("requests", "hints", "sources"):
        return lambda: iter(getattr(content, table))
    if table == "samples":
        samples = content.samples
        places = list(
            zip(values_of(samples, "shard"), values_of(samples, "index_in_shard"), strict=True)
        )
        first = content.num_kept if is_new else 0
        order = array("q", sorted(range(first, len(samples)), key=places.__getitem__))
        return lambda: iter(Picked(samples, order))
    if table == "speakers":
        return lambda: (
            s for s in content.speakers if not is_new or s.track_id not in content.known
        )
    if table == "clips":
        if not is_new:
            return lambda: beside(content.clips, entries)
        fresh = {c.clip_id for c in all_of(entries, rec.Clip, above)}
        return lambda: beside((c for c in content.clips if c.clip_id in fresh), entries, above)
    if table in ("rejects", "failures"):
        rejects, failures = fell(entries, above)
        ours = [r for r in content.rejects if not is_new or r.item_id not in content.known]
        return lambda: iter([*rejects, *ours] if table == "rejects" else failures)
    return lambda: rows_of(entries, kind, above)


# -- parts ---------------------------------------------------------------------------------------


def _state(entries: Entries) -> dict[str, Any]:
    """What the rows of these entries are known again by: up to which number, and which of them."""
    finished = {n: u for n, u in entries.items() if isinstance(u, Finished)}
    if len(finished) != len(entries) or not finished:
        return {"parts": {}}
    up_to = max((u.last_number for u in finished.values()), default=0)
    return {
        "ledger": next(iter(finished.values())).ledger_name,
        "up_to": up_to,
        "stages": {name: _told(units, up_to) for name, units in finished.items()},
        "parts": {},
    }


def _told(units: Finished, up_to: int) -> list[int | str]:
    numbers = sorted(n for n in units.numbers() if n <= up_to)
    told = hashlib.sha256(" ".join(map(str, numbers)).encode())
    return [len(numbers), told.hexdigest()]


def _kept_parts(own: OwnFolder, entries: Entries, state: Mapping[str, Any]) -> dict[str, int]:
    """How many parts of each table stay; empty where all are to be written anew."""
    if not state.get("stages") or state["stages"].keys() != entries.keys():
        return {}  # a stage that came since has columns to add
    for name, told in state["stages"].items():
        units = entries.get(name)
        if not isinstance(units, Finished) or units.ledger_name != state["ledger"]:
            return {}
        if _told(units, int(state["up_to"])) != told:
            return {}
    parts = {str(t): int(n) for t, n in state["parts"].items()}
    held = (
        f"manifests/{t}/part-{i:06d}.parquet"
        for t, n in parts.items()
        if t not in WHOLE
        for i in range(n)
    )
    return parts if all(own.is_whole(name) and name in own.files for name in held) else {}


# -- in order ------------------------------------------------------------------------------------


def _sorted(stages: list[Mapping[str, Entry]], kind: type, above: int) -> list[Any]:
    rows: list[Any] = []
    for units in stages:
        made = [
            record
            for unit, entry in units.items()
            if _number(units, unit) > above
            for record in entry.outputs
            if type(record) is kind
        ]
        later = {rec.record_id(row) for row in made} if rows else set()
        rows = [row for row in rows if rec.record_id(row) not in later] + made
    return sorted(rows, key=rec.record_id)


def _one_by_one(units: Mapping[str, Entry], kind: type, above: int) -> Iterator[Any]:
    """Ids begin with those of their units, so that units in order give records in order."""
    last = ""
    for unit in sorted(units):
        if _number(units, unit) <= above:
            continue
        made = [record for record in units[unit].outputs if type(record) is kind]
        for record in sorted(made, key=rec.record_id):
            if (name := rec.record_id(record)) < last:
                raise _NotInOrderError
            last = name
            yield record


def _number(units: Mapping[str, Entry], unit: str) -> int:
    return units.number(unit) if isinstance(units, Finished) else 0
