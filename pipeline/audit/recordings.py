"""Whole recordings in words: which drift, which jump, how many run with their pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from manifests.numbers import number, signed_ms

MOST_TOLD = 40


def of_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per media file whose drift was sought, the steepest first."""
    by = {r["path"]: r for r in rows if r.get("drift_status") is not None}
    return sorted(by.values(), key=lambda r: (-abs(r.get("drift_ppm") or 0.0), r["path"]))


def sentence(row: dict[str, Any]) -> str:
    """A recording that drifts, or that no clock explains."""
    name, ppm = Path(row["path"]).name, row["drift_ppm"]
    if row["drift_status"] == "uneven":
        return f"{name} is uneven: {row['drift_reason']}"
    return (
        f"{name} drifts by {number(ppm, signed=True)} ppm "
        f"(standard error {row['drift_error_ppm']:.0f}), "
        f"{signed_ms(0.06 * ppm, 1)} per minute: its sound was recorded on another clock; "
        "`yld resync` retimes it"
    )


def sentences(rows: list[dict[str, Any]]) -> list[str]:
    """What is worth saying of the recordings of an audit, and how many are steady or unknown."""
    found = of_rows(rows)
    told = [sentence(r) for r in found if r["drift_status"] in ("drifts", "uneven")]
    more = (
        [f"and {len(told) - MOST_TOLD} more, see offsets.parquet"] if len(told) > MOST_TOLD else []
    )
    counts = Counter(r["drift_status"] for r in found)
    rest = (
        [f"{counts['steady']} of {len(found)} recordings run with their pictures"]
        if counts["steady"]
        else []
    )
    return told[:MOST_TOLD] + more + rest
