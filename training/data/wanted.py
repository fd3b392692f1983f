"""Which samples of a corpus a training wants, by what is known of them before they are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from manifests.corpus import Corpus
from manifests.sample_json import known
from manifests.shards import NotThereError, SampleIndex, ShardError, ShardSample, read_members

FACTS = ("num_frames", "offset_status", "video_lag_ms", "applied_lag_ms")
Facts = Mapping[str, object]


@dataclass(frozen=True)
class Wanted:
    """Filters; a sample of which the fact that is asked for is not known is left out too."""

    members: frozenset[str] = frozenset()
    """Members that a sample must have, such as "face.mp4"."""
    min_frames: int = 0
    offset_statuses: frozenset[str] | None = None
    """Statuses of an offset that are wanted, such as {"measured"}; None takes all."""
    max_lag_ms: float | None = None
    """Largest measured lag, less what the build took out, to either side; None takes all, and a
    sample of which no lag is known is not left out for it."""

    @property
    def asks_for_facts(self) -> bool:
        """Whether more must be known of a sample than its members' names."""
        return (
            self.min_frames > 0 or self.offset_statuses is not None or self.max_lag_ms is not None
        )

    def refusal(self, members: Collection[str], facts: Callable[[], Facts]) -> str | None:
        """Why a sample is left out; None if it is wanted. `facts` is asked only if need be."""
        if lacking := sorted(self.members - set(members)):
            return f"without {lacking[0]}"
        return self._refusal(facts()) if self.asks_for_facts else None

    def _refusal(self, facts: Facts) -> str | None:
        frames, status = facts.get("num_frames"), facts.get("offset_status")
        if self.min_frames > 0:
            if not isinstance(frames, int):
                return "of an unknown number of frames"
            if frames < self.min_frames:
                return f"of fewer than {self.min_frames} frames"
        if self.offset_statuses is not None and status not in self.offset_statuses:
            return "without offset_status" if status is None else f"with offset_status {status}"
        if self.max_lag_ms is not None and abs(_lag_ms(facts)) > self.max_lag_ms:
            return f"with a lag of over {self.max_lag_ms:g} ms"
        return None


def _lag_ms(facts: Facts) -> float:
    """What is left of the measured lag; 0 where none is known."""
    lag, applied = facts.get("video_lag_ms"), facts.get("applied_lag_ms")
    if not isinstance(lag, (int, float)):
        return 0.0
    return lag - (applied if isinstance(applied, (int, float)) else 0.0)


def facts_of(root: Path, wanted: Wanted) -> Callable[[str, SampleIndex], Facts]:
    """What is known of a sample by its key: from the table `clips` where there is one, else from
    its own `json`, which is read alone. Raises ValueError for damaged tables."""
    if not wanted.asks_for_facts or not (root / "manifests").is_dir():
        return _own_facts
    rows = Corpus(root).columns("clips", ("clip_id", *FACTS))
    table = {str(key): values for key, *values in rows}

    def told(key: str, index: SampleIndex) -> Facts:
        if key not in table:
            return _own_facts(key, index)
        return dict(zip(FACTS, table[key], strict=True))

    return told


def _own_facts(key: str, index: SampleIndex) -> Facts:
    spans = index.spans(key)
    if "json" not in spans:
        return {}
    try:
        content = read_members(index.path, {"json": spans["json"]}, index.is_told)
    except NotThereError:
        raise ShardError(
            f"{index.path} does not hold {key} as its index says; run `yld verify`"
        ) from None
    return known(ShardSample(key, content, str(index.path)).facts)
