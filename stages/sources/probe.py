"""Probe: the facts of a media file, and its clock (docs/clock.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from manifests.media.facts import MediaError, read_facts
from manifests.media.pictures import resolve
from manifests.records import Fetched, Reject, Video, col
from stages.base import Context, Resources, Stage


@dataclass(frozen=True)
class ProbeConfig:
    """Which videos are long enough."""

    min_duration_s: float = col("shortest video worth looking at", "s", at_least=0, default=0.5)


class Probe(Stage[Fetched, Video]):
    """Rejects what has no moving picture or no sound that decodes, or no clock; damaged files are
    rejects too. What was found and mended stands in the notes of the video."""

    name = "probe"
    version = 2
    reasons = frozenset(
        {
            "no_video",
            "no_audio",
            "no_decoder",
            "encrypted",
            "too_many_channels",
            "clock_jump",
            "truncated",
            "unreadable",
            "too_short",
        }
    )
    resources = Resources(memory_gb=4.0, timeout_s=600.0)
    reads_media = True

    def process(self, batch: Sequence[Fetched], context: Context) -> list[list[Video] | Reject]:
        return [self._one(item, context) for item in batch]

    def _one(self, item: Fetched, context: Context) -> list[Video] | Reject:
        path = resolve(item.media_path, context.work)
        try:
            facts = read_facts(path)
        except MediaError as error:
            return Reject(error.reason, error.measured, error.threshold, str(error))
        length_s = facts.duration_us / 1e6
        if length_s < self.config.min_duration_s:
            return Reject(
                "too_short", length_s, self.config.min_duration_s, f"{length_s:.2f} s of video"
            )
        return [
            Video(
                video_id=item.video_id,
                media_path=item.media_path,
                sha256=item.sha256,
                **dataclasses.asdict(facts),
            )
        ]
