"""`report.html`: one file with the table, distributions, and what is best and worst to hear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.audio import read_sound
from evaluation.catalogue import all_names, split
from evaluation.metrics.signals import within_full_scale
from evaluation.metrics.spectra import log_mel
from evaluation.records import Score, Utterance
from evaluation.report import charts
from evaluation.report.published import Published, beside
from evaluation.statistics import Summary
from manifests.files import write_atomic
from manifests.media.encode import encode_flac
from manifests.page import render
from manifests.page.tables import Cell, Column, table

NUM_TO_HEAR, MAX_SECONDS = 5, 15
NAMES = {
    "hypothesis": "hypotheses",
    "ground_truth": "ground truth",
    "griffin_lim": "Griffin-Lim round trip",
}
RANKED_BY = (
    "a-estoi",
    "estoi",
    "a-stoi",
    "stoi",
    "a-mcd",
    "mcd",
    "a-pesq",
    "pesq",
    "visqol",
    "wer",
    "voice",
)
"""The first of these with values says what is best and worst."""


def write_report(
    path: Path,
    rows: dict[str, list[Score]],
    summaries: dict[str, list[Summary]],
    utterances: Sequence[Utterance],
) -> None:
    """Write the page. Rows and summaries by system; all its sounds are inside it."""
    names = [s.metric for s in next(iter(summaries.values()))]
    rank = _ranked(rows["hypothesis"])
    files = {u.utterance: u for u in utterances}
    hear = (
        []
        if rank is None
        else [
            (title, [_to_hear(row, files[row.utterance]) for row in chosen])
            for title, chosen in _extremes(rank)
        ]
    )
    page = render.page(
        Path(__file__).parent,
        "page.html",
        names=names,
        systems=_table(summaries, names),
        published=_published(beside(names)),
        columns=[
            (n, split(n)[0].title + (", aligned" if n.startswith("a-") else ""), _arrow(n))
            for n in names
        ],
        charts=[_chart(name, rows) for name in names],
        hear=hear,
        ranked_by=rank[0].metric if rank else None,
        lips=any(split(name)[0].kind == "lips" for name in names),
        left_out=_left_out_table(_left_out(summaries["hypothesis"])),
        num=len(utterances),
        signatures=sorted({s for group in summaries.values() for x in group for s in x.signatures}),
        clustered=sorted({x.clustered_by for x in summaries["hypothesis"] if x.clustered_by}),
    )
    write_atomic(path, page)


def _arrow(name: str) -> str:
    return {True: "↑", False: "↓", None: ""}[split(name)[0].higher_is_better]


def _table(summaries: dict[str, list[Summary]], names: list[str]) -> list[dict[str, Any]]:
    table = []
    for system, group in summaries.items():
        by_name = {s.metric: s for s in group}
        table.append({"name": NAMES[system], "cells": [by_name.get(n) for n in names]})
    return table


def _chart(name: str, rows: dict[str, list[Score]]) -> str:
    groups = {
        system: [
            r.value
            for r in rows.get(system, [])
            if r.metric == name and r.status == "ok" and r.value is not None
        ]
        for system in ("hypothesis", "griffin_lim")
    }
    metric, aligned = split(name)
    unit = f" ({metric.unit})" if metric.unit else ""
    title = metric.title + (", aligned" if aligned else "") + unit
    return charts.histogram({k: v for k, v in groups.items() if v}, title)


def _ranked(rows: Sequence[Score]) -> list[Score] | None:
    """The rows of the first metric with values, worst first."""
    for name in RANKED_BY:
        up = split(name)[0].higher_is_better
        good = [
            (r.value if up else -r.value, r.utterance, r)
            for r in rows
            if r.metric == name and r.status == "ok" and r.value is not None
        ]
        if good:
            return [row for *_, row in sorted(good, key=lambda found: found[:2])]
    return None


def _extremes(rank: list[Score]) -> list[tuple[str, list[Score]]]:
    count = min(NUM_TO_HEAR, max(1, len(rank) // 2))
    best = list(reversed(rank[-count:])) if len(rank) > 1 else []
    return [("Worst", rank[:count]), ("Best", best)]


def _to_hear(row: Score, utterance: Utterance) -> dict[str, Any]:
    files = {"truth": utterance.reference, "hypothesis": utterance.hypothesis}
    sounds = {label: sound for label, path in files.items() if (sound := _sound(path)) is not None}
    try:
        loudest = float(log_mel(next(iter(sounds.values()))).max())
        pictures: list[str | None] = [
            charts.data_url(charts.spectrogram_png(s, loudest), "image/png")
            for s in sounds.values()
        ]
    except (ValueError, StopIteration):  # too short for a window: still to be heard
        pictures = [None] * len(sounds)
    flac = [
        encode_flac(np.rint(within_full_scale(s) * 32767).astype(np.int16)) for s in sounds.values()
    ]
    return {
        "row": row,
        "text": utterance.text,
        "sounds": [
            {"label": label, "flac": charts.data_url(content, "audio/flac"), "png": picture}
            for label, content, picture in zip(sounds, flac, pictures, strict=True)
        ],
    }


def _sound(path: str) -> np.ndarray | None:
    """What is heard of a file; None where it cannot be read: not every metric looks at both."""
    try:
        return read_sound(path)[: MAX_SECONDS * 16000]
    except (OSError, ValueError):
        return None


def _left_out(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """Every reason for which utterances have no score: the metrics it cost, and how many of
    each."""
    reasons: dict[str, dict[str, int]] = {}
    for summary in summaries:
        for reason, count in summary.reasons.items():
            reasons.setdefault(reason, {})[summary.metric] = count
    return [
        {"reason": reason, "count": max(counts.values()), "metrics": ", ".join(counts)}
        for reason, counts in reasons.items()
    ]


def _published(rows: Sequence[Published]) -> str:
    """A row per figure that a paper printed: a column per metric would not fit a screen."""
    columns = [
        *(Column(n) for n in ("paper, table", "data", "model", "metric")),
        Column("value", "number", 3),
    ]
    cells: list[list[Cell]] = [
        [f"{r.paper}, {r.table}", r.data, r.model, _printed(name), value]
        for r in rows
        for name, value in r.values.items()
    ]
    return table(columns, cells, "printed in the papers", "No paper prints these metrics.")


def _printed(name: str) -> str:
    """A metric of a paper, with its direction where `yld evaluate` has it too."""
    return f"{name} {_arrow(name)}" if name in all_names() else name


def _left_out_table(rows: Sequence[dict[str, Any]]) -> str:
    columns = [Column("reason"), Column("utterances", "number"), Column("metrics")]
    cells: list[list[Cell]] = [[r["reason"], r["count"], r["metrics"]] for r in rows]
    return table(columns, cells, "reasons", "Every utterance has every score.")
