"""The page of a correction: lags before and after, and what became of every clip."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from manifests.files import write_atomic
from manifests.page import charts, render, tables
from pipeline.resync import fates, names


def write_report(path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write the self-contained page."""
    before = [r["video_lag_ms"] for r in rows if r.get("video_lag_ms") is not None]
    after = [r["residual_lag_ms"] for r in rows if r.get("residual_lag_ms") is not None]
    others = Counter(r["reason"] for r in rows if r["fate"] == fates.PASSED_OVER)
    clips = [r for r in rows if r["fate"] != fates.PASSED_OVER]
    page = render.page(
        Path(__file__).parent,
        "resync.html",
        name=names.shown(name),
        fates=sorted(Counter(r["fate"] for r in clips).items()),
        total=len(clips),
        charts=[
            charts.histogram(before, 40, "ms", "before", -600, 600, band=charts.FRAME_MS),
            charts.histogram(after, 40, "ms", "after", -600, 600, band=charts.FRAME_MS),
        ],
        within=sum(abs(x) <= fates.RESIDUAL_MS for x in after),
        remeasured=len(after),
        retimed=_retimed([r for r in clips if r.get("applied_drift_ppm")]),
        told=_told([r for r in clips if r["fate"] != fates.CORRECTED]),
        others=others.most_common(),
    )
    write_atomic(path, page)


def _retimed(rows: list[dict[str, Any]]) -> str:
    lags = ("start_lag_ms", "end_lag_ms", "residual_start_ms", "residual_end_ms")
    heads = (
        "lag at the beginning, ms",
        "at the end, ms",
        "left at the beginning, ms",
        "left at the end, ms",
    )
    columns = [
        tables.Column("clip"),
        tables.Column("drift, ppm", "number", 1, True),
        *(tables.Column(head, "number", 0, True) for head in heads),
        tables.Column("fate"),
    ]
    cells = [
        [names.shown(r["clip_id"]), r["applied_drift_ppm"], *(r.get(n) for n in lags), r["fate"]]
        for r in rows
    ]
    return tables.table(columns, cells, "retimed clips") if cells else ""


def _told(rows: list[dict[str, Any]]) -> str:
    columns = [tables.Column(n) for n in ("clip", "speaker", "fate", "status", "reason")]
    cells = [
        [names.shown(r["clip_id"]), r["speaker"], r["fate"], r["offset_status"], r["reason"]]
        for r in rows
    ]
    return tables.table(
        columns, cells, "clips not corrected", "Everything was corrected, and measured so."
    )
