"""Which spans of a track become clips: pure functions on frames.

`yld` mode cuts 1 to 3 s segments at pauses of speech where possible (Lip2Speech); other modes
give fixed lengths, long segments, or whole runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def usable_runs(is_observed: np.ndarray, max_gap: int) -> list[tuple[int, int]]:
    """Half-open runs of frames in which no gap is longer than `max_gap` frames."""
    seen = np.flatnonzero(is_observed)
    if not len(seen):
        return []
    runs, start = [], int(seen[0])
    for before, after in zip(seen, seen[1:], strict=False):
        if after - before - 1 > max_gap:
            runs.append((start, int(before) + 1))
            start = int(after)
    return [*runs, (start, int(seen[-1]) + 1)]


def within(
    runs: Sequence[tuple[int, int]], allowed: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The parts of half-open runs that lie in the allowed spans, none across two of them; the runs
    themselves where nothing is said."""
    if not allowed:
        return list(runs)
    parts = [(max(a, low), min(b, high)) for a, b in runs for low, high in allowed]
    return [(a, b) for a, b in parts if a < b]


def segment(
    start: int,
    end: int,
    speech: Sequence[tuple[int, int]],
    mode: str,
    min_frames: int,
    max_frames: int,
    min_speech_share: float,
) -> list[tuple[int, int]]:
    """Half-open spans inside `[start, end)`, in order and disjoint.

    `speech` are half-open spans on the same clock. A span with less speech than
    `min_speech_share` is left out, except in `whole` mode.
    """
    if end - start < min_frames:
        return []
    if mode == "whole":
        return [(start, end)]
    if mode == "fixed":
        spans = [(a, a + max_frames) for a in range(start, end - max_frames + 1, max_frames)]
    else:
        spans = _at_pauses(start, end, speech, min_frames, max_frames)
    return [s for s in spans if _share(speech, *s) >= min_speech_share]


def _at_pauses(start, end, speech, low, high) -> list[tuple[int, int]]:
    """As few cuts as possible, each in the longest pause within reach."""
    talk = [(max(a, start), min(b, end)) for a, b in speech if a < end and b > start]
    if not talk:
        return []
    margin = 5  # frames of rest kept around speech, so that words begin and end in the clip
    first = max(start, talk[0][0] - margin)
    last = min(end, talk[-1][1] + margin)
    if last - first < low:  # too short alone: take rest from around it
        first = max(start, min(first, last - low))
        last = min(end, first + low)
        if last - first < low:
            return []
    pauses = [(a[1], b[0]) for a, b in zip(talk, talk[1:], strict=False)]
    spans, at = [], first
    while last - at > high:
        reach = [(b - a, (a + b) // 2) for a, b in pauses if at + low <= (a + b) // 2 <= at + high]
        # No pause in reach: leave at least a shortest clip behind the cut.
        cut = max(reach)[1] if reach else min(at + high, max(at + low, last - low))
        spans.append((at, cut))
        later = [b for a, b in pauses if a <= cut <= b]
        at = max(cut, later[0] - margin) if later else cut
    if last - at >= low:
        spans.append((at, last))
    elif spans and last - spans[-1][0] <= high:
        spans[-1] = (spans[-1][0], last)
    return spans


def _share(speech, start: int, end: int) -> float:
    return sum(max(0, min(b, end) - max(a, start)) for a, b in speech) / (end - start)
