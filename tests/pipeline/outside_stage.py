"""A stage that lives outside the project's folders, as docs/extending.md says how to write one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manifests.records import Offset, Reject, col
from stages.base import Context, Stage


@dataclass(frozen=True)
class LongEnoughConfig:
    """Which speakers are kept."""

    min_seconds: float = col("shortest track that is kept", "s", at_least=0, default=2.0)


class LongEnough(Stage[Offset, Offset]):
    """Tracks of a video that last long enough; the others are told and left out."""

    name = "long_enough"
    reasons = frozenset({"too_short"})

    @classmethod
    def check(cls, config: LongEnoughConfig) -> None:
        if config.min_seconds > 60:
            raise ValueError(f"min_seconds={config.min_seconds:g} leaves nothing; lower it")

    def process(self, batch: Sequence[Offset], context: Context) -> list[list[Offset] | Reject]:
        return [self._one(offset, context) for offset in batch]

    def _one(self, offset: Offset, context: Context) -> list[Offset] | Reject:
        track = context.tracks[offset.track_id]
        seconds = (track.end_frame - track.start_frame) / 25
        if seconds < self.config.min_seconds:
            return Reject("too_short", seconds, self.config.min_seconds, "seconds of the track")
        return [offset]
