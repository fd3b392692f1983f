"""What is published, as a later run needs it: `work/published.json`, and parts beside it where
there is much of it.

A part is written once. What an append adds is in new ones, and only the small head changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests import records as rec
from manifests.columns import Columns, Texts
from manifests.files import atomic_path, write_atomic
from pipeline.run.entry import decode

NAME, FOLDER = "published.json", "published"
SHARED = ("video_id", "speaker_id", "split", "shard")
"""Texts that many samples have in common."""
PART_SAMPLES = 50_000
"""As many fit into the head; with more they stand in parts of so many."""


@dataclass(frozen=True)
class Published:
    """The state of a publication."""

    recipe: str
    samples: Sequence[rec.Sample] = ()
    prints: Sequence[str] = ()
    """What makes each sample the same."""
    speakers: list[rec.Speaker] = field(default_factory=list)
    splits: dict[str, Any] | None = None
    left_out: list[str] = field(default_factory=list)
    tables: dict[str, Any] = field(default_factory=dict)
    """Which units' rows the tables' parts hold (`pipeline.build.tables`); empty where they are of
    one part."""
    marked: list[str] = field(default_factory=list)
    """Clips that are left out because a person marked them."""
    fallen: list[str] = field(default_factory=list)
    """Clips that are left out because they do not keep to a threshold."""


def read(work: Path) -> Published | None:
    """The state below `work`; None where nothing is published."""
    try:
        head = json.loads((work / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    samples = Columns(rec.Sample, SHARED)
    prints, speakers = Texts(), []
    for part in (head, *(json.loads((work / name).read_text()) for name in parts_of(head))):
        samples.extend(decode(rec.Sample, s) for s in part["samples"])
        for told in part["prints"]:
            prints.append(told)
        speakers += [decode(rec.Speaker, s) for s in part["speakers"]]
    return Published(
        head["recipe"],
        samples,
        prints,
        sorted(speakers, key=lambda s: s.track_id),
        head["splits"],
        head["left_out"],
        head.get("tables", {}),
        head.get("marked", []),
        head.get("fallen", []),
    )


def parts_of(head: dict[str, Any]) -> list[str]:
    """Names below `work` of a head's parts."""
    return [f"{FOLDER}/{Path(str(name)).name}" for name in head.get("parts", [])]


def write(work: Path, now: Published, before: Published | None) -> None:
    """Keep the state `now`, the head last. Parts of `before` stay where `now` begins with it."""
    head: dict[str, Any] = {
        "recipe": now.recipe,
        "samples": [],
        "prints": [],
        "speakers": [],
        "splits": now.splits,
        "left_out": now.left_out,
    }
    if now.tables:
        head["tables"] = now.tables
    if now.marked:
        head["marked"] = now.marked
    if now.fallen:
        head["fallen"] = now.fallen
    old = json.loads((work / NAME).read_text()) if before and (work / NAME).exists() else {}
    if len(now.samples) <= PART_SAMPLES:
        head |= _part(now.samples, now.prints, now.speakers)
    else:
        kept = parts_of(old) if before and _begins_with(now, before) and old.get("parts") else []
        start = len(before.samples) if kept and before else 0
        have = {s.track_id for s in before.speakers} if kept and before else set()
        names = [*kept]
        fresh = [s for s in now.speakers if s.track_id not in have]
        number = 1 + max((int(Path(n).stem) for n in parts_of(old)), default=-1)
        for low in range(start, len(now.samples), PART_SAMPLES):
            rows = slice(low, min(low + PART_SAMPLES, len(now.samples)))
            names.append(f"{FOLDER}/{number + len(names) - len(kept):06d}.json")
            _write_json(
                work / names[-1],
                _part(now.samples[rows], now.prints[rows], fresh if low == start else []),
            )
        if fresh and start == len(now.samples):
            names.append(f"{FOLDER}/{number:06d}.json")
            _write_json(work / names[-1], _part([], [], fresh))
        head["parts"] = names
    write_atomic(work / NAME, json.dumps(head))
    for name in set(parts_of(old)) - set(head.get("parts", [])):
        (work / name).unlink(missing_ok=True)


def _begins_with(now: Published, before: Published) -> bool:
    pairs = ((now.samples, before.samples), (now.prints, before.prints))
    return all(
        len(new) >= len(old) and all(a == b for a, b in zip(new, old, strict=False))
        for new, old in pairs
    )


def _part(
    samples: Sequence[rec.Sample], prints: Sequence[str], speakers: Sequence[rec.Speaker]
) -> dict[str, Any]:
    return {
        "samples": [dict(vars(s)) for s in samples],
        "prints": list(prints),
        "speakers": [dict(vars(s)) for s in speakers],
    }


def _write_json(path: Path, part: dict[str, Any]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write("{")
        for i, (name, rows) in enumerate(part.items()):
            file.write(f"{', ' if i else ''}{json.dumps(name)}: [")
            file.writelines(_with_commas(json.dumps(row) for row in rows))
            file.write("]")
        file.write("}")


def _with_commas(texts: Iterator[str]) -> Iterator[str]:
    for i, text in enumerate(texts):
        yield f"{', ' if i else ''}{text}"
