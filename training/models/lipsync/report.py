"""Tables of the held-out trial, for the model's card and the docs.

python -m training.models.lipsync.report WEIGHTS.trial.json [--threshold 0.7] [--groups GROUPS.tsv]
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.networks.lag_curves import MEASURED_FROM

LENGTHS_S = (1.0, 2.0, 3.0, 6.0)
MOST_NAMED = 20
"""More speakers than so many are told in groups only."""


def tables(
    rows: Sequence[dict],
    threshold: float = MEASURED_FROM,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Markdown: by group and length, foreign sounds by kind and length, and the calibration.

    `groups` gives the groups of a source by the name of its file; without it each speaker is one.
    """
    talk = [r for r in rows if r["kind"] == "talk"]
    lines = [
        "| group | window | windows | within 40 ms | measured | of these within 40 ms | of these "
        "within 40 ms of own centre | median error, measured |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    of = _groups(talk, groups)
    for length in LENGTHS_S:
        for name in [*sorted(of), "**all**"]:
            every = of.get(name, talk)
            group = [r for r in every if abs(_length(r) - length) < 0.01]
            if group:
                lines.append(_line(name, length, group, threshold))
    lengths = "".join(f" {s:.0f} s |" for s in LENGTHS_S)
    lines += [
        "",
        f"| sound that does not belong, measured |{lengths}",
        "| --- |" + " --- |" * len(LENGTHS_S),
    ]
    foreign = [r for r in rows if r["kind"] != "talk"]
    for kind in [*sorted({r["kind"] for r in foreign}), None]:
        cells = ""
        for length in LENGTHS_S:
            group = [r for r in foreign if kind in (None, r["kind"]) and _length(r) == length]
            cells += f" {sum(is_measured(r, threshold) for r in group)} of {len(group)} |"
        lines.append(f"| {kind or '**all**'} |{cells}")
    return "\n".join(lines + _calibration(rows, groups))


def _groups(
    rows: Sequence[dict], groups: Mapping[str, Sequence[str]] | None
) -> dict[str, list[dict]]:
    of: dict[str, list[dict]] = {}
    names: dict[str, str] = {}
    for row in rows:
        source = Path(row["source"])
        told = (
            [names.setdefault(row["speaker"], source.stem)]
            if groups is None
            else groups.get(source.name, ())
        )
        for name in told:
            of.setdefault(name, []).append(row)
    return of if groups is not None or len(of) <= MOST_NAMED else {}


def _calibration(rows: Sequence[dict], groups: Mapping[str, Sequence[str]] | None) -> list[str]:
    """Windows, mean confidence and share that is right by tenths of confidence."""
    of = _groups(rows, groups) if groups is not None else {}
    head = ["all", *sorted(of)]
    lines = [
        "",
        "Windows (all kinds), mean confidence, share within 40 ms of own centre:",
        "",
        "| confidence |" + "".join(f" {name} |" for name in head),
        "| --- |" + " --- |" * len(head),
    ]
    edges = np.linspace(0, 1, 11)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        cells = ""
        for name in head:
            every = rows if name == "all" else of[name]
            group = [r for r in every if low <= r["confidence"] < high + (high == 1)]
            if group:
                mean = np.mean([r["confidence"] for r in group])
                true = np.mean([_is_near(r) for r in group])
                cells += f" {len(group)}: {mean:.2f}, {true:.2f} |"
            else:
                cells += " – |"
        lines.append(f"| {low:.1f} to {high:.1f} |{cells}")
    return lines


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
    parser.add_argument(
        "--groups",
        type=Path,
        help="tab-separated, with the columns path and group; a path may recur",
    )
    arguments = parser.parse_args()
    groups: dict[str, list[str]] | None = None
    if arguments.groups is not None:
        groups = {}
        with open(arguments.groups, newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                groups.setdefault(Path(row["path"]).name, []).append(row["group"])
    print(tables(json.loads(arguments.trial.read_text()), arguments.threshold, groups))


if __name__ == "__main__":
    main()
