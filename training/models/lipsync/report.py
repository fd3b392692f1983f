"""Tables of the held-out trial, for the model's card and the docs.

python -m training.models.lipsync.report WEIGHTS.trial.json [--threshold 0.7]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.networks.lag_curves import MEASURED_FROM

LENGTHS_S = (3.0, 6.0, 10.0)


def tables(rows: Sequence[dict], threshold: float = MEASURED_FROM) -> str:
    """Markdown: by speaker and length, foreign sounds by kind, and the calibration curve."""
    talk = [r for r in rows if r["kind"] == "talk"]
    lines = [
        "| speaker (one source) | window | windows | within 40 ms | measured | of these "
        "within 40 ms | of these within 40 ms of own centre | median error, measured |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    names: dict[str, str] = {}
    for row in talk:
        names.setdefault(row["speaker"], Path(row["source"]).stem)
    for length in LENGTHS_S:
        of_length = [r for r in talk if abs(_length(r) - length) < 0.01]
        for speaker in sorted(names, key=names.__getitem__):
            group = [r for r in of_length if r["speaker"] == speaker]
            if group:
                lines.append(_line(names[speaker], length, group, threshold))
        if of_length:
            lines.append(_line("**all**", length, of_length, threshold))
    lines += ["", "| sound that does not belong | windows | measured |", "| --- | --- | --- |"]
    foreign = [r for r in rows if r["kind"] != "talk"]
    for kind in [*sorted({r["kind"] for r in foreign}), None]:
        group = [r for r in foreign if kind in (None, r["kind"])]
        passed = sum(is_measured(r, threshold) for r in group)
        lines.append(f"| {kind or '**all**'} | {len(group)} | {passed} |")
    lines += [
        "",
        "| confidence | windows (all kinds) | mean confidence | share within 40 ms of own centre |",
        "| --- | --- | --- | --- |",
    ]
    edges = np.linspace(0, 1, 11)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        group = [r for r in rows if low <= r["confidence"] < high + (high == 1)]
        if group:
            true = np.mean([_is_near(r) for r in group])
            mean = np.mean([r["confidence"] for r in group])
            lines.append(f"| {low:.1f} to {high:.1f} | {len(group)} | {mean:.2f} | {true:.2f} |")
    return "\n".join(lines)


def is_measured(row: dict, threshold: float) -> bool:
    """Whether the window would get a number."""
    return row["confidence"] >= threshold and not row["is_at_limit"]


def _length(row: dict) -> float:
    """Clips a little shorter than the window count with it."""
    return min(LENGTHS_S, key=lambda s: abs(s - row["seconds"]))


def _is_near(row: dict) -> bool:
    return row["centre_error_ms"] is not None and abs(row["centre_error_ms"]) <= 40


def _line(name: str, length: float, group: Sequence[dict], threshold: float) -> str:
    measured = [r for r in group if is_measured(r, threshold)]
    right = sum(abs(r["error_ms"]) <= 40 for r in measured)
    middle = f"{np.median([abs(r['error_ms']) for r in measured]):.0f} ms" if measured else "–"
    return (
        f"| {name} | {length:.0f} s | {len(group)} | "
        f"{sum(abs(r['error_ms']) <= 40 for r in group)} | {len(measured)} | "
        f"{right} of {len(measured)} | {sum(_is_near(r) for r in measured)} of "
        f"{len(measured)} | {middle} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trial", type=Path)
    parser.add_argument("--threshold", type=float, default=MEASURED_FROM)
    arguments = parser.parse_args()
    print(tables(json.loads(arguments.trial.read_text()), arguments.threshold))


if __name__ == "__main__":
    main()
