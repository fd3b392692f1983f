"""Tables of a held-out trial, for the model's card and the docs, and its compact JSON.

python -m training.models.lipsync.report WEIGHTS.trial.json [--threshold 0.8] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from stages.networks.lag_curves import FRAME_ERROR_MS, MEASURED_FROM
from training.models.lipsync.trial import Row

LENGTHS_S = (1.0, 2.0, 3.0, 6.0)
MOST_NAMED = 20
"""More speakers than so many are told in groups only."""
MIN_BIN = 50
"""Windows from which a bin of confidence says something."""
COLUMNS = (
    *("source", "kind", "seconds", "lag_ms", "planted_ms", "error_ms", "centre_error_ms"),
    *("height", "margin", "mass", "spread_ms", "speech_s", "rhythm"),
    *("is_at_limit", "confidence"),
)
THOUSANDTHS = frozenset({"height", "margin", "mass", "speech_s", "rhythm", "confidence"})


def compact(
    rows: Sequence[Row],
    sure: Sequence[float] | np.ndarray,
    groups: Mapping[str, Sequence[str]] | None = None,
    synchronous: Collection[str] = (),
) -> str:
    """Every window on some forty bytes of JSON: names once, ms as integers, what has no unit in
    thousandths. `groups` gives the groups of a source; `synchronous` names sources that were
    recorded in sync."""
    speaker_of = {r.source: r.speaker for r in rows}
    sources, kinds = sorted(speaker_of), sorted({r.kind for r in rows})

    def whole(name: str, value: float | None) -> int | None:
        if value is None or value != value:  # NaN, which JSON does not know
            return None
        return round(1000 * float(value) if name in THOUSANDTHS else value)

    place_of, kind_of = ({n: i for i, n in enumerate(names)} for names in (sources, kinds))
    told: list[list[Any]] = []
    for row, confidence in zip(rows, sure, strict=True):
        values: dict[str, Any] = vars(row) | {"confidence": confidence}
        told.append(
            [place_of[row.source], kind_of[row.kind], row.seconds]
            + [whole(name, values[name]) for name in COLUMNS[3:]]
        )
    about = [
        {
            "source": Path(name).name,
            "speaker": speaker_of[name],
            "groups": list((groups or {}).get(name, ())),
            "synchronous": name in synchronous,
        }
        for name in sources
    ]
    head = {"columns": COLUMNS, "kinds": kinds, "sources": about}
    return json.dumps(head)[:-1] + ', "rows": ' + json.dumps(told, separators=(",", ":")) + "}\n"


def read(text: str) -> list[dict[str, Any]]:
    """The windows of a compact JSON, with all that is known of each. Raises ValueError."""
    made = json.loads(text)
    if not isinstance(made, dict) or tuple(made.get("columns", ())) != COLUMNS:
        raise ValueError("this is no trial of a synchrony model; train or try it again")
    rows = []
    for values in made["rows"]:
        row = dict(zip(COLUMNS, values, strict=True))
        row |= made["sources"][row["source"]]
        row["kind"] = made["kinds"][row["kind"]]
        row["is_at_limit"] = bool(row["is_at_limit"])
        for name in THOUSANDTHS:
            row[name] = None if row[name] is None else row[name] / 1000
        rows.append(row)
    return rows


def windows(rows: Sequence[dict[str, Any]]) -> list[Row]:
    """Rows as `read` gives them, as the trial had them: what a calibration is fitted on."""
    names = [f.name for f in fields(Row) if f.name not in ("curve",)]
    nan = {"mass", "spread_ms", "speech_s", "rhythm"}

    def values(row: Mapping[str, Any]) -> dict[str, Any]:
        return {n: float("nan") if row[n] is None and n in nan else row[n] for n in names}

    return [Row(**values(row)) for row in rows]


def summary(rows: Sequence[dict[str, Any]], threshold: float = MEASURED_FROM) -> dict[str, Any]:
    """Numbers of a trial: by length and group, foreign sound by kind and length, calibration by
    group, what other thresholds would give. Errors are in ms."""
    talk = [r for r in rows if r["kind"] == "talk"]
    foreign = [r for r in rows if r["kind"] != "talk"]
    by_group = {"all": talk, **_groups(talk)}
    return {
        "threshold": threshold,
        "num_speakers": len({r["speaker"] for r in rows}),
        "talking": {
            f"{s:g} s": {
                name: _talking(group, threshold)
                for name, every in by_group.items()
                if (group := [r for r in every if _length(r) == s])
            }
            for s in LENGTHS_S
        },
        "foreign": {
            f"{s:g} s": {
                kind: _share([is_measured(r, threshold) for r in of])
                for kind in ["all", *sorted({r["kind"] for r in foreign})]
                if (of := [r for r in foreign if kind in ("all", r["kind"]) and _length(r) == s])
            }
            for s in LENGTHS_S
        },
        "calibration": _calibration(rows),
        "thresholds": [
            {
                "from": t,
                **{
                    f"{s:g} s": _threshold([r for r in rows if _length(r) == s], t)
                    for s in LENGTHS_S[1:]
                },
            }
            for t in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
        ],
    }


def is_measured(row: dict[str, Any], threshold: float) -> bool:
    """Whether the window would get a number."""
    return row["confidence"] >= threshold and not row["is_at_limit"]


def _length(row: dict[str, Any]) -> float:
    """Clips a little shorter than the window count with it."""
    return min(LENGTHS_S, key=lambda s: abs(s - row["seconds"]))


def _share(flags: Sequence[bool]) -> dict[str, int]:
    return {"measured": sum(flags), "windows": len(flags)}


def _is_near(row: dict[str, Any], error: str = "centre_error_ms") -> bool:
    return row[error] is not None and abs(row[error]) <= FRAME_ERROR_MS


def _talking(group: Sequence[dict[str, Any]], threshold: float) -> dict[str, Any]:
    measured = [r for r in group if is_measured(r, threshold)]
    anchored = [r for r in measured if r["synchronous"]]
    errors = [abs(r["centre_error_ms"]) for r in measured]
    return {
        "windows": len(group),
        "within_40_ms": sum(map(_is_near, group)),
        "measured": len(measured),
        "measured_within_40_ms": sum(map(_is_near, measured)),
        "recorded_in_sync": len(anchored),
        "in_sync_within_40_ms_of_zero": sum(_is_near(r, "error_ms") for r in anchored),
        "median_error_ms": round(float(np.median(errors)), 1) if errors else None,
    }


def _groups(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By the groups of their sources; by speaker where there are none, and few speakers."""
    of: dict[str, list[dict[str, Any]]] = {}
    has_groups = any(r["groups"] for r in rows)
    for row in rows:
        for name in row["groups"] if has_groups else [row["speaker"]]:
            of.setdefault(name, []).append(row)
    return dict(sorted(of.items())) if has_groups or len(of) <= MOST_NAMED else {}


def _calibration(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Windows of all kinds by tenths of confidence: mean confidence, and the share within 40 ms
    of the own centre, of which a foreign sound has none."""
    edges = np.linspace(0, 1, 11)
    made = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        groups = {}
        for name, every in {"all": list(rows), **_groups(rows)}.items():
            group = [r for r in every if low <= r["confidence"] < high + (high == 1)]
            if group:
                groups[name] = {
                    "windows": len(group),
                    "told": round(float(np.mean([r["confidence"] for r in group])), 3),
                    "true": round(float(np.mean([_is_near(r) for r in group])), 3),
                }
        made.append({"from": round(float(low), 1), "to": round(float(high), 1), "groups": groups})
    return made


def _threshold(rows: Sequence[dict[str, Any]], threshold: float) -> dict[str, int]:
    talk = [r for r in rows if r["kind"] == "talk"]
    measured = [r for r in talk if is_measured(r, threshold)]
    foreign = [r for r in rows if r["kind"] != "talk"]
    return {
        "windows": len(talk),
        "measured": len(measured),
        "measured_within_40_ms": sum(map(_is_near, measured)),
        "foreign": len(foreign),
        "foreign_measured": sum(is_measured(r, threshold) for r in foreign),
    }


def tables(made: Mapping[str, Any]) -> str:
    """A `summary` as Markdown."""
    lines = [
        "| group | window | windows | within 40 ms | measured | of these within 40 ms of own "
        "centre | recorded in sync, measured: within 40 ms of zero | median error |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for length, groups in made["talking"].items():
        for name, g in [*((n, g) for n, g in groups.items() if n != "all"), _total(groups)]:
            if g is None:
                continue
            middle = "–" if g["median_error_ms"] is None else f"{g['median_error_ms']:.0f} ms"
            sync = f"{g['in_sync_within_40_ms_of_zero']} of {g['recorded_in_sync']}"
            lines.append(
                f"| {name} | {length} | {g['windows']} | {g['within_40_ms']} | {g['measured']} | "
                f"{g['measured_within_40_ms']} | {sync if g['recorded_in_sync'] else '–'} | "
                f"{middle} |"
            )
    lengths = list(made["foreign"])
    kinds = sorted({k for of in made["foreign"].values() for k in of if k != "all"})
    lines += [
        "",
        "| sound that does not belong, measured |" + "".join(f" {s} |" for s in lengths),
        "| --- |" + " --- |" * len(lengths),
    ]
    for kind in [*kinds, "all"]:
        cells = [made["foreign"][s].get(kind) for s in lengths]
        told = [f" {c['measured']} of {c['windows']} |" if c else " – |" for c in cells]
        lines.append(f"| {'**all**' if kind == 'all' else kind} |" + "".join(told))
    lines += _bins(made["calibration"])
    return "\n".join([*lines, *_thresholds(made["thresholds"])])


def _thresholds(told: Sequence[Mapping[str, Any]]) -> list[str]:
    lengths = [name for name in told[0] if name != "from"]
    lines = [
        "",
        "| confidence from |"
        + "".join(f" {s} measured, within 40 ms |" for s in lengths)
        + f" foreign sound at {', '.join(lengths)} |",
        "| --- |" + " --- |" * (len(lengths) + 1),
    ]
    for t in told:
        of = [t[s] for s in lengths]
        cells = [f"{c['measured']} of {c['windows']}, {c['measured_within_40_ms']}" for c in of]
        foreign = ", ".join(f"{c['foreign_measured']} of {c['foreign']}" for c in of)
        lines.append(f"| {t['from']:.2f} | {' | '.join(cells)} | {foreign} |")
    return lines


def _total(groups: Mapping[str, Any]) -> tuple[str, Any]:
    return "**all**", groups.get("all")


def _bins(calibration: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [*dict.fromkeys(n for b in calibration for n in b["groups"])]
    lines = [
        "",
        "Windows (all kinds), mean confidence, share within 40 ms of own centre:",
        "",
        "| confidence |" + "".join(f" {name} |" for name in names),
        "| --- |" + " --- |" * len(names),
    ]
    for b in calibration:
        cells = ""
        for name in names:
            g = b["groups"].get(name)
            off = g and g["windows"] > MIN_BIN and abs(g["told"] - g["true"]) > 0.05
            told = f"{g['windows']}: {g['told']:.2f}, {g['true']:.2f}" if g else "–"
            cells += f" **{told}** |" if off else f" {told} |"
        lines.append(f"| {b['from']:.1f} to {b['to']:.1f} |{cells}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trial", type=Path)
    parser.add_argument("--threshold", type=float, default=MEASURED_FROM)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    made = summary(read(arguments.trial.read_text()), arguments.threshold)
    print(json.dumps(made, indent=1) if arguments.json else tables(made))


if __name__ == "__main__":
    main()
