"""The audit's page: how far off the clips are, every clip, some to see and hear, agreement."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from manifests.clock import FRAME_RATE
from manifests.files import write_atomic
from manifests.page import charts, render
from manifests.page.tables import Cell, Column, Link, table
from pipeline.audit import lengths, players, recordings

MAX_SPEAKERS_SHOWN, WORTH_A_CHART, MAX_DOTS, MAX_REASON = 40, 20, 2000, 160
NUMBERS = re.compile(r"[+-]?\d+(\.\d+)?")


def write_report(
    path: Path,
    name: str,
    layout: str,
    rows: list[dict[str, Any]],
    estimators: Sequence[str],
    audited: Path | None = None,
) -> None:
    """Write the self-contained page. `audited`: what was audited, for the command to go on with;
    None where another command goes on by itself."""
    from pipeline.audit import first_of, summarize

    first = first_of(rows, estimators[0])
    summary = summarize(first)
    measured = [r for r in first if r.get("video_lag_ms") is not None]
    containers = [r["container_lag_ms"] for r in first if r.get("container_lag_ms") is not None]
    drifts = [r["drift_ms_per_min"] for r in first if r.get("drift_ms_per_min") is not None]
    page = render.page(
        Path(__file__).parent,
        "audit.html",
        name=name,
        layout=layout,
        estimators=list(estimators),
        total=len(first),
        measured=len(measured),
        length=lengths.sentence(first),
        within=sum(abs(r["video_lag_ms"]) <= charts.FRAME_MS for r in measured),
        next_command=next_command(path, audited),
        speakers=_speakers(summary),
        clips=_clips(first),
        overall=_overall(measured, containers),
        by_speaker=_by_speaker(measured),
        without=charts.bars(_reasons(first), "clips without a number")
        if len(measured) < len(first)
        else None,
        agreement=_agreement(agreement(rows, estimators)),
        drift=charts.histogram(drifts, 20, "ms/min", "drift of single faces", -200, 200)
        if drifts
        else None,
        recordings=recordings.sentences(first),
        players=players.players(measured, {s["speaker"]: s["centre_ms"] for s in summary}),
        outlier_ms=players.OUTLIER_MS,
    )
    write_atomic(path, page)


def next_command(page: Path, audited: Path | None) -> str | None:
    """What corrects the corpus that was audited; None where it is not known where that lies."""
    if audited is None:
        return None
    out = page.resolve().parent
    corrected = out.with_name(out.name + "-corrected")
    return f"yld resync {shlex.quote(str(audited.resolve()))} --out {shlex.quote(str(corrected))}"


def _overall(measured: list[dict[str, Any]], containers: list[float]) -> list[str]:
    lags = [r["video_lag_ms"] for r in measured]
    made = [charts.histogram(lags, 40, "ms", "content: video lag", -400, 400, band=charts.FRAME_MS)]
    if any(containers):  # all at 0 says nothing
        title = "container: what readers without timestamps add"
        made.append(charts.histogram(containers, 5, "ms", title, -100, 100, band=charts.FRAME_MS))
    points = [
        (r["video_lag_ms"], r["confidence"]) for r in measured if r.get("confidence") is not None
    ]
    if points:
        made.append(
            charts.scatter(
                points[:: max(1, len(points) // MAX_DOTS)],
                "video lag, ms",
                "confidence",
                charts.FRAME_MS,
            )
        )
    return made


def _by_speaker(measured: list[dict[str, Any]]) -> list[str]:
    """A histogram for each speaker with enough clips, where there are several: one alone is the
    histogram of all once more."""
    by: dict[str, list[float]] = defaultdict(list)
    for row in measured:
        by[row.get("speaker") or "speaker not known"].append(row["video_lag_ms"])
    if len(by) < 2:
        return []
    worth = sorted((g for g in by.items() if len(g[1]) >= WORTH_A_CHART), key=lambda g: -len(g[1]))
    return [
        charts.histogram(lags, 40, "ms", speaker, -400, 400, band=charts.FRAME_MS)
        for speaker, lags in worth[:MAX_SPEAKERS_SHOWN]
    ]


def _speakers(summary: list[dict[str, Any]]) -> str:
    columns = [
        Column("speaker"),
        Column("clips", "number"),
        Column("measured", "number"),
        Column("undecided", "number"),
        Column("at the search's limit", "number"),
        Column("no speech", "number"),
        Column("no face", "number"),
        Column("centre, ms", "number", 0, True),
        Column("spread, ms", "number"),
    ]
    names: tuple[str, ...] = ("clips", "measured", "undecided", "at_search_limit", "no_speech")
    names += ("no_face", "centre_ms", "spread_ms")
    cells: list[list[Cell]] = [
        [s["speaker"] or "not known", *(s.get(n) for n in names)] for s in summary
    ]
    return table(columns, cells, "speakers")


def _clips(rows: list[dict[str, Any]]) -> str:
    """Every clip, those without a number with their reason."""
    columns = [
        Column("clip", "link"),
        Column("speaker"),
        Column("lag, ms", "number", 0, True),
        Column("confidence", "number", 2),
        Column("status"),
        Column("reason"),
    ]
    cells: list[list[Cell]] = [
        [
            _place(r),
            r.get("speaker") or "",
            r.get("video_lag_ms"),
            r.get("confidence"),
            r["offset_status"].replace("_", " "),
            (r.get("reason") or "")[:MAX_REASON],
        ]
        for r in rows
    ]
    return table(columns, cells, "clips")


def _place(row: dict[str, Any]) -> Link:
    path = row.get("path") or ""
    is_media = path.startswith("/") and not path.endswith(".tar")
    start = row.get("start_frame")
    after = "" if start is None else f"#t={start // FRAME_RATE}"
    return (
        Link(row["clip_id"], "file://" + quote(path, errors="replace"), after)
        if is_media
        else (Link(row["clip_id"]))
    )


def _agreement(pairs: list[dict[str, Any]]) -> str | None:
    columns = [
        Column("pair"),
        Column("clips measured by both", "number"),
        Column("R²", "number", 3),
        Column("median difference, ms", "number", 1),
    ]
    cells = [[p["pair"], p["n"], p["r2"], p["median_ms"]] for p in pairs]
    return table(columns, cells, "agreement between estimators") if cells else None


def _reasons(rows) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for row in rows:
        if row.get("video_lag_ms") is None:
            text = row["offset_status"]
            if text == "undecided":  # one bar for all that differ in their figures alone
                text += ": " + NUMBERS.sub("…", row.get("reason") or "")[:60]
            text = text.replace("_", " ")
            counts[text] = counts.get(text, 0) + 1
    return sorted(counts.items(), key=lambda p: -p[1])


def agreement(rows: list[dict[str, Any]], estimators: Sequence[str]) -> list[dict[str, Any]]:
    """R-squared of each pair of estimators over clips that both measured (Niu & Mak, Table 2)."""
    lag: dict[str, dict[tuple, float]] = {e: {} for e in estimators}
    for row in rows:
        name = (row.get("estimator") or "").rsplit("-", 1)[0]
        if name in lag and row.get("video_lag_ms") is not None:
            lag[name][row["path"], row["clip_id"]] = row["video_lag_ms"]
    table = []
    for i, a in enumerate(estimators):
        for b in estimators[i + 1 :]:
            both = sorted(lag[a].keys() & lag[b].keys())
            x = np.array([lag[a][k] for k in both])
            y = np.array([lag[b][k] for k in both])
            total = float(((x - x.mean()) ** 2).sum()) if len(both) > 2 else 0.0
            table.append(
                {
                    "pair": f"{b} against {a}",
                    "n": len(both),
                    "r2": round(1 - float(((y - x) ** 2).sum()) / total, 3) if total else None,
                    "median_ms": round(float(np.median(np.abs(x - y))), 1) if len(both) else None,
                }
            )
    return table
