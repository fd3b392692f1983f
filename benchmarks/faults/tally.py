"""What is counted of each kind of fault. Everything but `same` of `resumed` should be nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BAD = (
    "hangs",
    "crashes",
    "bad_sums",
    "leftovers",
    "foreign_changed",
    "private_connections",
    "not_as_promised",
)
COLUMNS = ["fault", "cases", "resumed", "same", *BAD, "minutes"]


@dataclass
class Tally:
    """One kind of fault. The lists hold a sentence for each thing that should not have been."""

    fault: str
    cases: int = 0
    """Faults that were really put in."""
    resumed: int = 0
    """Runs that were ended and run again."""
    same: int = 0
    """Of those, how many came to the bytes of an undisturbed run."""
    hangs: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    """Tracebacks, exit codes nobody promised, workers that died of an input."""
    bad_sums: list[str] = field(default_factory=list)
    """Stages in which accepted + rejected + failed is not inputs."""
    leftovers: list[str] = field(default_factory=list)
    """Processes 10 s after the run's end; temporary files after the next run."""
    foreign_changed: list[str] = field(default_factory=list)
    private_connections: list[str] = field(default_factory=list)
    not_as_promised: list[str] = field(default_factory=list)
    """Right input refused, a damaged one taken for whole: what this fault's own check says."""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around what belongs to this kind."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began

    def compare(self, name: str, got: str | None, wanted: str | None) -> None:
        """Count a resumed run by its seal (`SHA256SUMS`); None where there is no corpus, which is
        never the same, even where the undisturbed run (`wanted`) made none either."""
        self.resumed += 1
        if got is not None and got == wanted:
            self.same += 1
        else:
            self.notes.append(f"{name}: " + ("no corpus" if got is None else "other bytes"))

    @property
    def is_clean(self) -> bool:
        return self.same == self.resumed and not any(getattr(self, name) for name in BAD)

    def row(self) -> dict[str, Any]:
        """For the table."""
        return {
            "fault": self.fault,
            "cases": self.cases,
            "resumed": self.resumed,
            "same": self.same,
            **{name: len(getattr(self, name)) for name in BAD},
            "minutes": round(self.seconds / 60, 1),
        }


def total(tallies: list[Tally]) -> dict[str, Any]:
    """The last row."""
    rows = [t.row() for t in tallies]
    return {
        "fault": "all",
        **{name: sum(r[name] for r in rows) for name in COLUMNS[1:-1]},
        "minutes": round(sum(r["minutes"] for r in rows), 1),
    }
