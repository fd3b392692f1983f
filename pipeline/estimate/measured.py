"""What each video of a corpus took, from the ledger and the files of its work folder."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.run.ledger import Ledger

SIDE_FOLDERS = ("shots", "tracks", "clips")
"""Work folders whose files carry the id of their video."""


@dataclass(frozen=True)
class VideoCost:
    """One video that was worked."""

    video_s: float
    height_px: int
    pixels_per_s: float
    """Display width x height x source frame rate: what one decode has to give."""
    cpu_s: float
    """Of all stages behind the download; starting, downloads and packing shards are not in it."""
    work_bytes: int
    source_bytes: int
    clip_bytes: int

    @property
    def cpu_s_per_video_s(self) -> float:
        return self.cpu_s / self.video_s


def newest_entries(folder: Path) -> Iterator[dict[str, Any]]:
    """The last finished entry of every stage and unit: an earlier one had other settings."""
    ledger = Ledger(folder)
    try:
        yield from (json.loads(row.text) for row in ledger.newest())
    finally:
        ledger.close()


def video_costs(corpus: Path) -> list[VideoCost]:
    """The videos of a corpus folder. Raises ValueError where nothing is left to measure by."""
    ledger = corpus / "work" / "ledger"
    if not ledger.is_dir():
        raise ValueError(
            f"{corpus} has no work/ledger, which says what each video took (was `work` deleted?); "
            "name another corpus with --from, or leave it out to measure on this machine"
        )
    facts: dict[str, dict[str, Any]] = {}
    sources: dict[str, int] = {}
    cpu_s: dict[str, float] = defaultdict(float)
    for entry in newest_entries(ledger):
        for record in _records(entry):
            if entry["stage"] == "probe":
                facts[entry["unit"]] = record
            elif entry["stage"] == "download":
                sources[record["video_id"]] = record["num_bytes"]
        cpu_s[entry["unit"]] += entry["cpu_s"]
    sizes = {folder: _bytes_by_unit(corpus / "work" / folder) for folder in SIDE_FOLDERS}
    found = [
        VideoCost(
            video_s=fact["duration_us"] / 1e6,
            height_px=fact["height_px"],
            pixels_per_s=fact["width_px"] * fact["height_px"] * _rate(fact),
            cpu_s=cpu_s[unit],
            work_bytes=sum(sizes[folder].get(unit, 0) for folder in SIDE_FOLDERS),
            source_bytes=sources.get(unit, 0),
            clip_bytes=sizes["clips"].get(unit, 0),
        )
        for unit, fact in sorted(facts.items())
        if fact["duration_us"] > 0
    ]
    if not found:
        raise ValueError(f"no video of {corpus} came as far as the probe: nothing to measure by")
    return found


def _records(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for result in entry["results"]:
        yield from result.get("records") or []


def _rate(fact: dict[str, Any]) -> float:
    try:
        return float(Fraction(fact["source_fps"] or fact["frame_rate"]))
    except (ValueError, ZeroDivisionError):
        return float(Fraction(fact["frame_rate"]))


def _bytes_by_unit(folder: Path) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for path in folder.rglob("*"):
        if path.is_file():
            total[path.relative_to(folder).parts[0].split("-")[0].split(".")[0]] += (
                path.stat().st_size
            )
    return total
