"""Which samples of a corpus a training wants, by what is known of them before they are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from manifests.sample_json import known
from manifests.shards import FRAMES_FACTS, ShardError, ShardSample
from manifests.spans import NotThereError
from training.data.places import Place, ShardSpans

FACTS = ("num_frames", "offset_status", "video_lag_ms", "applied_lag_ms")
Facts = Mapping[str, object]
REMEDIES = {
    "audio.wide.flac": "build the corpus with --set clips.wide_audio=true, or train at 16 kHz with "
    "--set shape.sample_rate=16000"
}
"""What gives a sample a member that not every build writes."""
STAND_INS = {"face.mp4": FRAMES_FACTS}
"""What a repacked sample has in a member's place. Whether its frames are those of the crop that is
asked for is seen when they are read, and told then with the way out."""
FactsOf = Callable[[ShardSpans, Sequence[str]], list[Facts]]
"""What is known of some samples of a shard, by their keys."""


@dataclass(frozen=True)
class Wanted:
    """Filters; a sample of which the fact that is asked for is not known is left out too."""

    members: frozenset[str] = frozenset()
    """Members that a sample must have, such as "face.mp4", or what stands in for them."""
    min_frames: int = 0
    """1 takes all whose length is known; above 0 `Samples.num_frames` has the lengths."""
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

    def lacking(self, members: Collection[str]) -> str | None:
        """Why a sample of these members is left out, whatever else is known of it."""
        there = set(members)
        lacking = sorted(name for name in self.members - there if STAND_INS.get(name) not in there)
        if not lacking:
            return None
        remedy = REMEDIES.get(lacking[0])
        return f"without {lacking[0]}" + (f": {remedy}" if remedy else "")

    def refusal(self, facts: Facts) -> str | None:
        """Why a sample of which these facts are known is left out; None if it is wanted."""
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


def facts_of(place: Place, wanted: Wanted) -> FactsOf:
    """What is known of some samples of a shard, by their keys: from the table `clips` where there
    is one, else from each one's own `json`, which is read alone. Raises ValueError for damaged
    tables, ShardError for samples that are."""
    if not wanted.asks_for_facts:
        return lambda shard, keys: [{} for _ in keys]
    rows = place.table("clips", ("clip_id", *FACTS))
    table = {str(key): dict(zip(FACTS, facts, strict=True)) for key, *facts in rows or ()}

    def told(shard: ShardSpans, keys: Sequence[str]) -> list[Facts]:
        own = _own_facts(place, shard, [key for key in keys if key not in table])
        return [table[key] if key in table else own[key] for key in keys]

    return told


def _own_facts(place: Place, shard: ShardSpans, keys: Sequence[str]) -> dict[str, Facts]:
    alone = [key for key in keys if "json" in shard.samples[key]]
    spans = [{"json": shard.samples[key]["json"]} for key in alone]
    try:
        read = place.several(shard.shard, spans, shard.is_told)
    except NotThereError:
        raise ShardError(
            f"{place.at(shard.shard)} does not hold its samples as its index says; run `yld verify`"
        ) from None
    found: dict[str, Facts] = {key: {} for key in keys}
    for key, members in zip(alone, read, strict=True):
        found[key] = known(ShardSample(key, members, place.at(shard.shard)).facts)
    return found
