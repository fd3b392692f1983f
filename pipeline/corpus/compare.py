"""Two corpora side by side: two settings of the same videos, or a run and the one before.

Clips are matched by video and frames, not by id, since another setting gives other ids: of the
pairs of one video that overlap, the one that shares most comes first. A clip is kept where a
partner shares at least half of the two together. Videos are known by their bytes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from manifests.clock import FRAME_RATE
from manifests.corpus import Corpus
from pipeline.config.settings import flat

KEPT_FROM = 0.5
"""Least intersection over union of frames that makes two clips one."""
MOVED_MS = 5.0


@dataclass
class Comparison:
    """What B has otherwise than A."""

    videos: dict[str, int] = field(default_factory=dict)
    settings: list[str] = field(default_factory=list)
    clips: dict[str, float] = field(default_factory=dict)
    offsets: dict[str, Any] = field(default_factory=dict)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    costs: list[dict[str, Any]] = field(default_factory=list)
    gained: list[dict[str, Any]] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    """Clips that one has and the other has not, with what became of their video there."""

    def told(self) -> dict[str, Any]:
        return dict(vars(self))


def compare(first: Path, second: Path) -> Comparison:
    """Raises NotACorpusError; ValueError for corpora without a video in common."""
    a, b = Corpus(first), Corpus(second)
    videos = [{row["video_id"] for row in corpus.rows("sources")} for corpus in (a, b)]
    both = videos[0] & videos[1]
    if not both:
        raise ValueError(
            f"{first} and {second} have no video in common (by their bytes): nothing to compare"
        )
    done = Comparison(
        {"both": len(both), "only_a": len(videos[0] - both), "only_b": len(videos[1] - both)},
        _settings(first, second),
    )
    clips = [[r for r in corpus.rows("clips") if r["video_id"] in both] for corpus in (a, b)]
    pairs, lost, gained = matched(*clips)
    frames = [sum(r["num_frames"] for r in rows) for rows in (*clips, gained, lost)]
    seconds = [round(float(n / FRAME_RATE), 2) for n in frames]
    done.clips = {
        "a": len(clips[0]),
        "b": len(clips[1]),
        "kept": len(pairs),
        "gained": len(gained),
        "lost": len(lost),
        "a_s": seconds[0],
        "b_s": seconds[1],
        "gained_s": seconds[2],
        "lost_s": seconds[3],
        "a_speakers": _num_speakers(a, clips[0]),
        "b_speakers": _num_speakers(b, clips[1]),
    }
    done.offsets = _offsets(pairs)
    done.rejects = _rejects(a, b, both)
    done.costs = _costs(a, b)
    done.gained, done.lost = _listed(gained, a), _listed(lost, b)
    return done


def matched(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> tuple[list[tuple[dict, dict]], list[dict], list[dict]]:
    """Pairs of clips that are one, those of the first alone, those of the second alone."""
    of_video: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(second):
        of_video[row["video_id"]].append(number)
    found = []
    for i, row in enumerate(first):
        for j in of_video[row["video_id"]]:
            share = _overlap(row, second[j])
            if share >= KEPT_FROM:
                found.append((-share, row["clip_id"] != second[j]["clip_id"], i, j))
    pairs, taken_a, taken_b = [], set(), set()
    for _, _, i, j in sorted(found):
        if i not in taken_a and j not in taken_b:
            taken_a.add(i)
            taken_b.add(j)
            pairs.append((first[i], second[j]))
    lost = [row for i, row in enumerate(first) if i not in taken_a]
    return pairs, lost, [row for j, row in enumerate(second) if j not in taken_b]


def _overlap(a: dict[str, Any], b: dict[str, Any]) -> float:
    """Intersection over union of their frames."""
    shared = min(a["end_frame"], b["end_frame"]) - max(a["start_frame"], b["start_frame"])
    if shared <= 0:
        return 0.0
    return shared / (a["num_frames"] + b["num_frames"] - shared)


def _num_speakers(corpus: Corpus, clips: list[dict[str, Any]]) -> int:
    of_track = {r["track_id"]: r["speaker_id"] for r in corpus.rows("speakers")}
    return len({of_track.get(r["track_id"]) for r in clips} - {None})


def _offsets(pairs: list[tuple[dict, dict]]) -> dict[str, Any]:
    """Lags before correction of the clips that both have."""
    measured = [(a["video_lag_ms"], b["video_lag_ms"]) for a, b in pairs]
    both = [(x, y) for x, y in measured if x is not None and y is not None]
    moved = np.array([y - x for x, y in both])
    return {
        "measured_in_both": len(both),
        "measured_in_a_alone": sum(x is not None and y is None for x, y in measured),
        "measured_in_b_alone": sum(x is None and y is not None for x, y in measured),
        "median_change_ms": round(float(np.median(np.abs(moved))), 2) if both else None,
        "largest_change_ms": round(float(np.abs(moved).max()), 2) if both else None,
        f"changed_by_more_than_{MOVED_MS:g}_ms": int((np.abs(moved) > MOVED_MS).sum()),
    }


def _rejects(a: Corpus, b: Corpus, both: set[str]) -> list[dict[str, Any]]:
    """Reasons whose counts differ, the largest change first."""
    counts = []
    for corpus in (a, b):
        rows = [*corpus.rows("rejects"), *corpus.rows("failures")]
        counts.append(Counter((r["stage"], r["reason"]) for r in rows if r["video_id"] in both))
    rows = [
        {"stage": stage, "reason": reason, "a": counts[0][key], "b": counts[1][key]}
        for key in counts[0] | counts[1]
        if counts[0][key] != counts[1][key]
        for stage, reason in [key]
    ]
    return sorted(rows, key=lambda r: (-abs(r["b"] - r["a"]), r["stage"], r["reason"]))


def _costs(a: Corpus, b: Corpus) -> list[dict[str, Any]]:
    before = {row["stage"]: row.get("cpu_s_per_video_s") for row in a.status()}
    after = {row["stage"]: row.get("cpu_s_per_video_s") for row in b.status()}
    return [
        {"stage": stage, "a_cpu_s_per_video_s": before[stage], "b_cpu_s_per_video_s": after[stage]}
        for stage in before
        if stage in after and (before[stage] is not None or after[stage] is not None)
    ]


def _settings(first: Path, second: Path) -> list[str]:
    """Settings that differ, a line each."""
    told = []
    for root in (first, second):
        path = root / "config.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
        told.append(dict(flat(content)) if isinstance(content, dict) else {})
    names = sorted(n for n in told[0].keys() | told[1].keys() if told[0].get(n) != told[1].get(n))
    return [f"{name}: {told[0].get(name)} -> {told[1].get(name)}" for name in names]


def _listed(clips: list[dict[str, Any]], other: Corpus) -> list[dict[str, Any]]:
    """Each with what the other corpus says of its video: the reasons for which things fell out."""
    reasons: dict[str, Counter] = defaultdict(Counter)
    for row in (*other.rows("rejects"), *other.rows("failures")):
        reasons[row["video_id"]][f"{row['stage']}: {row['reason']}"] += 1
    return [
        {
            "clip_id": row["clip_id"],
            "video_id": row["video_id"],
            "start_s": round(float(row["start_frame"] / FRAME_RATE), 2),
            "length_s": round(float(row["num_frames"] / FRAME_RATE), 2),
            "there": ", ".join(name for name, _ in reasons[row["video_id"]].most_common(3)) or None,
        }
        for row in clips
    ]
