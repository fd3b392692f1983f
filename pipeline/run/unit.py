"""A unit on its way through a run: all records of one video in one stage. What a run allows it."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manifests import records as rec
from pipeline.graph import Node
from pipeline.run.ledger import Entry, Result
from pipeline.storage.removed import Removed
from stages.base import Resources

BYTES_PER_S = 250_000
"""A low rate for a video (2 Mbit/s): probe decodes those whose packets do not tell the times."""


class RunStopped(RuntimeError):
    """The run cannot go on (missing tool, full disk); finished work is kept."""


@dataclass(frozen=True)
class Policy:
    """How the runner treats units."""

    attempts: int = 2
    max_ahead: int = 16
    """Units of a `net` stage whose video is not finished; downloads wait beyond it."""
    parked_wait_s: float = 6 * 3600.0
    """Longest wait for a parked host once nothing else is left to do."""
    retry_failed: bool = False
    max_parks: int = 4
    """Rests a unit waits for before it is a failure that another run may mend."""
    max_moves: int = 3
    """Nodes that may die under a unit before one that dies is taken for its doing."""
    pool_of: Mapping[str, str] = field(default_factory=dict)
    """Stages that run in another pool than their node says."""
    limits: Callable[[str, Resources], Resources] = lambda _, declared: declared
    """A stage's limits from its name and what it declares."""
    removed: Removed = field(default_factory=Removed)
    """What was taken out of the corpus: no stage brings it back."""


@dataclass
class Unit:
    node: Node
    name: str
    records: list[Any]
    index: int
    attempts: int = 0
    not_before: float = 0.0
    parks: int = 0
    moves: int = 0
    key: str = ""
    """What its outcome is found by in the ledger."""
    side_name: str = ""
    """A word for the names of its side files, unique to its inputs and settings."""
    earlier: dict[str, Any] = field(default_factory=dict)
    """Records of earlier stages by `node.context`."""
    is_media_needed: bool = False
    results: list[Result] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    measured: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cause: str = ""
    """Why its last attempt gave nothing, for the log."""
    alone: bool = False
    """It was in a worker that died with others in hand: now it gets one to itself."""
    whole: Unit | None = None
    """The unit this single record was split from, after the batch broke its worker."""
    parts_left: int = 0

    def parts(self) -> list[Unit]:
        """One unit for each record, to be tried apart; `joined` puts their results together."""
        self.parts_left = len(self.records)
        return [
            dataclasses.replace(
                self, records=[record], attempts=0, results=[], whole=self, cost=self.cost
            )
            for record in self.records
        ]

    def joined(self) -> Unit | None:
        """The unit that is complete with this one's results; None while parts are missing."""
        whole = self.whole
        if whole is None:
            return self
        whole.results.extend(self.results)
        whole.parts_left -= 1
        if whole.parts_left:
            return None
        order = {rec.record_id(r): i for i, r in enumerate(whole.records)}
        whole.results.sort(key=lambda r: order[r.item_id])
        return whole

    def fail(self, reason: str, detail: str, *, retryable: bool) -> None:
        """Every record of it is a row of the table of failures."""
        for record in self.records:
            failure = rec.Failure(
                stage=self.node.name,
                item_id=rec.record_id(record),
                video_id=getattr(record, "video_id", None),
                reason=reason,
                exception=f"{reason}: {detail}"[:2000],
                detail=None,
                attempt=self.attempts,
                retryable=retryable,
            )
            self.results.append(Result(failure.item_id, failure=failure))

    def entry(self) -> Entry:
        """What goes to the ledger."""
        return Entry(
            self.node.name,
            self.name,
            self.key,
            self.results,
            attempts=self.attempts,
            video_s=_video_s(self.records) or _video_s(self._video()),
            extra=dict(self.measured),
            **self.cost,
        )

    def length_s(self) -> float:
        """Seconds of video that it may have to decode."""
        return sum(r.duration_us / 1e6 for r in self._video()) or _video_s(self.records)

    def _video(self) -> list[rec.Video]:
        return [self.earlier["video"]] if "video" in self.earlier else []


def video_seconds(records: Sequence[Any], video: rec.Video | None) -> float | None:
    """Length of the video that a job reads, where its probe found it; else None."""
    known = [r.duration_us for r in [*records, video] if isinstance(r, rec.Video)]
    return max(known) / 1e6 if known else None


def _video_s(records: Sequence[Any]) -> float:
    """A length that was found by reading, never one that a file claims; before it is known, what
    its size can hold at most."""
    known = sum(r.duration_us for r in records if isinstance(r, rec.Video)) / 1e6
    return known + sum(r.num_bytes for r in records if isinstance(r, rec.Fetched)) / BYTES_PER_S
