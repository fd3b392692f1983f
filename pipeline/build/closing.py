"""A build's last words: what came out, what most often did not and why, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from manifests.numbers import counted
from pipeline.run.progress import clock

if TYPE_CHECKING:
    from pipeline.build.job import Outcome


def closing(outcome: Outcome, place: str) -> Iterator[str]:
    """Lines for the user, the next command last. `place` is the corpus as a command line names
    it."""
    clips, videos = outcome.num_samples, outcome.num_videos
    yield (
        f"{counted(clips, 'clip')} of {counted(videos, 'video')} in {clock(outcome.seconds)}"
        if clips
        else f"no source gave a clip (after {clock(outcome.seconds)})"
    )
    if outcome.why:
        yield "what most often fell out:"
        yield from outcome.why
    if outcome.report is not None and clips:
        yield f"to look at: {outcome.report}"
    yield f"next: yld status {place} --why" if outcome.why else f"next: yld verify {place}"
