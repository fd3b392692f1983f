"""`yld resync`: take the measured offset out of every clip, and measure again.

The corrected files keep every frame; only the sound moves. They begin at zero in both streams,
run at a constant rate without B-frames, priming or edit lists, so that a reader that counts
frames and one that reads timestamps see the same thing. Originals are not touched.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import atomic_path, write_atomic
from manifests.ids import escape, hash_id
from manifests.paths import as_path, as_text
from manifests.records import Correction
from pipeline.audit import audit, centres, summarize
from pipeline.config import BuildConfig
from pipeline.graph import Node
from pipeline.lock import CorpusLock
from pipeline.own_folder import claim
from pipeline.session import running
from stages.correct import CorrectConfig

COLUMNS = ["clip_id", "speaker", "fate", "video_lag_ms", "container_lag_ms", "applied_lag_ms",
           "residual_lag_ms", "residual_status", "reason"]
CORRECT_JOB = (Node("correct", "stages.correct:Correct", Correction, Correction, "item_id"),)


def resync(path: Path, out: Path, config: BuildConfig, *, undecided: str = "drop",
           layout: str | None = None, address: str | None = None) -> list[dict[str, Any]]:
    """Correct the clips of `path` into `out/media` or `out/shards`; a row per clip.

    Raises LayoutError, ValueError for an `out` inside `path`, NotOursError and FileInTheWayError
    for what is another's at `out`.
    """
    if out.resolve() == path.resolve() or path.resolve() in out.resolve().parents:
        raise ValueError(f"{out} lies in what is corrected; give a folder outside {path}")
    made = ["resync.parquet", "summary.json", "report.html"]
    own = claim(out, "resync", made)
    before = audit(path, out / "before", config, layout=layout, address=address)
    centre = centres(before.summary)
    wanted, rows = [], []
    for row in before.rows:
        lag, fate = row.get("video_lag_ms"), "corrected"
        if lag is None:
            fate = {"drop": "left out", "keep": "kept as it is"}.get(undecided, "")
            if undecided == "speaker":
                lag = centre.get(row.get("speaker"))
                fate = "left out" if lag is None else "corrected by speaker"
        rows.append({**row, "fate": fate, "applied_lag_ms": lag if fate.startswith("corr") else (
            0.0 if fate.startswith("kept") else None)})
        if fate != "left out" and not as_path(row["path"]).exists():
            rows[-1].update(fate="left out", applied_lag_ms=None)
        if rows[-1]["fate"] != "left out":
            wanted.append(rows[-1])
    is_shards = before.items[0].kind == "shard"
    work = (out / "work").resolve()
    corrections = (_of_shards if is_shards else _of_files)(wanted, path, out)
    targets = [os.path.relpath(as_path(c.target), out.resolve()) for c in corrections]
    own.about_to_write(targets)
    with CorpusLock(work) as lock, running(
            CORRECT_JOB, {"correct": CorrectConfig()}, config, work, lock, corrections,
            address=address) as runner:
        entries = runner.run(corrections)
    _note_failures(rows, entries, corrections)
    again = audit(out / ("shards" if is_shards else "media"), out / "after", config,
                  layout="shards" if is_shards else "folder", address=address)
    _note_residuals(rows, again.rows, corrections, is_shards)
    own.about_to_write(made)
    _write(rows, out / "resync.parquet")
    write_atomic(out / "summary.json", json.dumps(
        {"before": before.summary, "after": summarize(_with_speakers(again.rows, rows))}, indent=1))
    from pipeline.resync.report import write_report

    write_report(out / "report.html", path.name, rows)
    own.wrote([*made, *targets])
    print(f"{sum(r['fate'].startswith('corrected') for r in rows)} corrected, "
          f"{sum(r['fate'] == 'left out' for r in rows)} left out; {out}", file=sys.stderr)
    return rows


def _of_files(rows: Sequence[dict[str, Any]], path: Path, out: Path) -> list[Correction]:
    """One correction per clip; a span of a long video becomes a file of its own."""
    made = []
    for row in rows:
        name = escape(row["clip_id"])
        folder = escape(row["speaker"]) if row.get("speaker") else "speaker_unknown"
        target = out.resolve() / "media" / folder / f"{name}.mp4"
        row["target"] = as_text(target)
        made.append(Correction(hash_id("file", row["path"], row["clip_id"]), row["path"],
                               as_text(target), [row["clip_id"]], [float(row["applied_lag_ms"])]))
    return made


def _of_shards(rows: Sequence[dict[str, Any]], path: Path, out: Path) -> list[Correction]:
    """One correction per shard, with the lag of each sample that stays."""
    by: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by.setdefault(row["path"], []).append(row)
    root = path.resolve() / "shards" if (path / "shards").is_dir() else path.resolve()
    made = []
    for shard, group in sorted(by.items()):
        place = as_path(shard)
        inside = place.relative_to(root) if root in place.parents else Path(place.name)
        target = out.resolve() / "shards" / inside
        for row in group:
            row["target"] = as_text(target)
        made.append(Correction(hash_id("shard", shard), shard, as_text(target),
                               [r["clip_id"] for r in group],
                               [float(r["applied_lag_ms"]) for r in group]))
    return made


def _note_failures(rows, entries, corrections) -> None:
    """A clip that could not be written is left out, and says why."""
    for entry in entries["correct"].values():
        for result in entry.results:
            lost = result.failure.exception if result.failure else (
                result.reject.detail if result.reject else None)
            if lost is None:
                continue
            target = next(c.target for c in corrections if c.item_id == result.item_id)
            for row in rows:
                if row.get("target") == target:
                    row.update(fate="left out", applied_lag_ms=None, reason=lost)


def _note_residuals(rows, again, corrections, is_shards: bool) -> None:
    found = {(r["path"], r["clip_id"]) if is_shards else r["path"]: r for r in again}
    for row in rows:
        key = (row.get("target"), row["clip_id"]) if is_shards else row.get("target")
        after = found.get(key)
        row["residual_lag_ms"] = None if after is None else after.get("video_lag_ms")
        row["residual_status"] = None if after is None else after["offset_status"]


def _with_speakers(again, rows):
    speaker = {r.get("target"): r.get("speaker") for r in rows}
    return [{**r, "speaker": speaker.get(r["path"], r.get("speaker"))} for r in again]


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    names = [*COLUMNS, "path", "target", "offset_status", "confidence", "estimator"]
    kinds = {n: pa.float64() for n in names if n.endswith("_ms") or n == "confidence"}
    schema = pa.schema([pa.field(n, kinds.get(n, pa.string())) for n in names])
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(
            [{n: r.get(n) for n in names} for r in rows], schema), temporary)


