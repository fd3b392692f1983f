"""Finished units of a run without their records: these stay in the ledger and are read one at a
time. What is counted of all of them is counted as they come.

The functions here take what a run gives (`Finished` for each stage) or plain mappings of entries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from manifests import records as rec
from pipeline.run.entry import Entry
from pipeline.run.ledger import Ledger

Entries = Mapping[str, Mapping[str, Entry]]
"""By stage and unit."""


@dataclass
class Totals:
    """Sums over the entries of a stage."""

    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    outputs: int = 0
    cpu_s: float = 0.0
    decoded_s: float = 0.0
    peak_rss_mb: float = 0.0
    video_us: int = 0
    """Of the videos put out."""
    extra: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Of entries in which a detector was asked."""
    kinds: set[type] = field(default_factory=set)
    """Of all records put out."""

    def add(self, entry: Entry) -> None:
        for result in entry.results:
            self.accepted += result.records is not None
            self.rejected += result.reject is not None
            self.failed += result.failure is not None
            self.outputs += len(result.records or ())
            self.kinds.update(map(type, result.records or ()))
            self.video_us += sum(
                r.duration_us for r in result.records or () if isinstance(r, rec.Video)
            )
        self.cpu_s += entry.cpu_s
        self.decoded_s += entry.decoded_s
        self.peak_rss_mb = max(self.peak_rss_mb, entry.peak_rss_mb)
        if entry.extra.get("detector_items"):
            for name, value in entry.extra.items():
                self.extra[name] += value


class Finished(Mapping[str, Entry]):
    """The units of one stage that have an outcome in this run, in the order in which they came."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers: dict[str, int] = {}
        self._fallen: dict[str, None] = {}
        self._whose: dict[str, list[str]] = {}
        self.totals = Totals()

    def add(self, entry: Entry, number: int) -> None:
        """`number` is the ledger's."""
        self._numbers[entry.unit] = number
        self.totals.add(entry)
        if any(result.records is None for result in entry.results):
            self._fallen[entry.unit] = None
        for record in entry.outputs:
            if isinstance(record, (rec.Source, rec.Fetched)) and record.kind == "link":
                self._whose.setdefault(_told_apart(record), []).append(entry.unit)

    def __getitem__(self, unit: str) -> Entry:
        entry = self._ledger.read(self._numbers[unit])
        if entry is None:
            raise OSError(
                f"{self._ledger.folder} has lost what was kept of {unit}; give the same command "
                "again, which does what is lost once more"
            )
        return entry

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, unit: object) -> bool:
        return unit in self._numbers

    def number(self, unit: str) -> int:
        """The ledger's number of a unit's entry: one that is done anew has a higher one."""
        return self._numbers[unit]

    def numbers(self) -> Iterator[int]:
        return iter(self._numbers.values())

    @property
    def last_number(self) -> int:
        return max(self._numbers.values(), default=0)

    @property
    def ledger_name(self) -> str:
        """Which ledger it is that numbers them."""
        return self._ledger.name

    def fallen(self) -> Iterator[tuple[str, Entry]]:
        """Units of which some record was rejected or failed."""
        return ((unit, self[unit]) for unit in self._fallen)

    def that_gave(self, identifier: str) -> Iterator[Entry]:
        """Units that put out the source of this id, or the video of this id, as a link."""
        return (self[unit] for unit in self._whose.get(identifier, ()))


def _told_apart(record: rec.Source | rec.Fetched) -> str:
    return record.video_id if isinstance(record, rec.Fetched) else record.source_id


def totals_of(units: Mapping[str, Entry]) -> Totals:
    """Sums over the units of a stage."""
    if isinstance(units, Finished):
        return units.totals
    totals = Totals()
    for entry in units.values():
        totals.add(entry)
    return totals


def fallen(units: Mapping[str, Entry]) -> Iterable[tuple[str, Entry]]:
    """Units in which some record was rejected or failed; of a plain mapping all of them."""
    return units.fallen() if isinstance(units, Finished) else units.items()


def that_gave(units: Mapping[str, Entry], identifier: str) -> Iterable[Entry]:
    """Units among which those are that put out the link's source, or its video, of this id."""
    return units.that_gave(identifier) if isinstance(units, Finished) else units.values()


def outputs_of(units: Mapping[str, Entry]) -> Iterator[Any]:
    """All records that a stage put out, one entry in memory at a time."""
    for entry in units.values():
        yield from entry.outputs
