"""The page of a correction: lags before and after, and every clip with what became of it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from manifests.files import write_atomic
from manifests.page import charts, render, tables
from pipeline.resync import fates, names

MAX_REASON, MOST_REASONS = 160, 8
NUMBERS = re.compile(r"[+-]?\d+(\.\d+)?")


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
        fates=[(in_words(f), n) for f, n in Counter(r["fate"] for r in clips).most_common()],
        total=len(clips),
        charts=[
            charts.histogram(before, 40, "ms", "Video lag before", -600, 600, band=charts.FRAME_MS),
            charts.histogram(after, 40, "ms", "Video lag after", -600, 600, band=charts.FRAME_MS),
        ],
        within=sum(abs(x) <= fates.RESIDUAL_MS for x in after),
        remeasured=len(after),
        retimed=_retimed([r for r in clips if r.get("applied_drift_ppm")]),
        reasons=Counter(
            (in_words(r["fate"]), _kind(r["reason"])) for r in clips if r.get("reason")
        ).most_common(MOST_REASONS),
        clips=_clips(clips),
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
        [
            names.shown(r["clip_id"]),
            r["applied_drift_ppm"],
            *(r.get(n) for n in lags),
            in_words(r["fate"]),
        ]
        for r in rows
    ]
    return tables.table(columns, cells, "retimed clips") if cells else ""


def _clips(rows: list[dict[str, Any]]) -> str:
    columns = [
        tables.Column("clip"),
        tables.Column("speaker"),
        tables.Column("fate"),
        tables.Column("measured, ms", "number", 0, True),
        tables.Column("confidence", "number", 2),
        tables.Column("taken out, ms", "number", 0, True),
        tables.Column("left, ms", "number", 0, True),
        tables.Column("reason"),
    ]
    numbers = ("video_lag_ms", "confidence", "applied_lag_ms", "residual_lag_ms")
    cells: list[list[tables.Cell]] = [
        [
            names.shown(r["clip_id"]),
            r["speaker"],
            in_words(r["fate"]),
            *(r.get(name) for name in numbers),
            (r["reason"] or "")[:MAX_REASON],
        ]
        for r in rows
    ]
    return tables.table(columns, cells, "clips", "There was no clip.")


def in_words(fate: str) -> str:
    """A fate as a person says it."""
    return "corrected, not verified" if fate == fates.UNVERIFIED else fate


def _kind(reason: str) -> str:
    """A reason without its figures, so that those of one kind count together."""
    return NUMBERS.sub("…", reason)[:MAX_REASON]
