"""`yld resync`: take the measured offset and drift out of every clip, and measure again.

The corrected files keep every frame; only the sound moves. They begin at zero in both streams,
run at a constant rate without B-frames, priming or edit lists, so that a reader that counts
frames and one that reads timestamps see the same thing. Originals are not touched.

Everything is first written below `out/work` and measured there; only then does it get its place in
`out/media` or `out/shards`, under the source's own relative path, if the second measurement does
not speak against it (`pipeline.resync.fates`).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import atomic_path, write_atomic
from manifests.paths import as_path, as_text
from manifests.records import Correction
from pipeline.audit import audit, refuse_another, summarize
from pipeline.config.build_config import BuildConfig
from pipeline.graph import CORRECT_JOB
from pipeline.resync import fates, names, plan
from pipeline.resync.made import forget_lost
from pipeline.resync.place import place
from pipeline.run import cluster
from pipeline.run.session import running
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import OwnFolder, claim
from pipeline.storage.work_files import WorkFiles
from stages.sync.correct import CorrectConfig

COLUMNS = [
    "clip_id",
    "speaker",
    "fate",
    "video_lag_ms",
    "container_lag_ms",
    "applied_lag_ms",
    "applied_drift_ppm",
    "residual_lag_ms",
    "residual_status",
    "reason",
]
MORE_COLUMNS = [
    "path",
    "target",
    "offset_status",
    "confidence",
    "estimator",
    "corrected_by",
    "drift_status",
    "drift_ppm",
    "drift_error_ppm",
    "start_lag_ms",
    "end_lag_ms",
    "residual_start_ms",
    "residual_end_ms",
    "residual_drift_ppm",
]
NUMBERS = ("_ms", "_ppm", "confidence")


def resync(
    path: Path,
    out: Path,
    config: BuildConfig,
    *,
    undecided: str = "drop",
    layout: str | None = None,
    address: str | None = None,
) -> list[dict[str, Any]]:
    """Correct the clips of `path` into `out/media` or `out/shards`; a row per clip, and one for
    every other file that lies there. Written only below `out`.

    Raises LayoutError, ValueError for an `out` inside `path`, NotOursError and FileInTheWayError
    for what is another's at `out`.
    """
    if out.resolve() == path.resolve() or path.resolve() in out.resolve().parents:
        raise ValueError(f"{out} lies in what is corrected; give a folder outside {path}")
    with cluster.kept():
        return _resync(path, out, config, undecided, layout, address)


def _resync(path, out, config, undecided, layout, address) -> list[dict[str, Any]]:
    made = ["resync.parquet", "summary.json", "report.html"]
    own = claim(out, "resync", made)
    corrected = f"the corrections of {as_text(path.resolve())}"
    refuse_another(out / "after", corrected, out / "work" / "tried")
    before = audit(
        path, out / "before", config, layout=layout, address=address, skip=out, is_step=True
    )
    is_shards = before.items[0].kind == "shard"
    kind = "shards" if is_shards else "media"
    work = (out / "work").resolve()
    rows = plan.rows_of(before, path, out, undecided)
    (out / "work").mkdir(exist_ok=True)
    plan.name_targets(rows, is_shards, names.tells_case(out / "work"))
    own.refuse_foreign(f"{kind}/{r['to']}" for r in rows if r.get("applied_lag_ms") is not None)
    wanted = plan.corrections_of(rows, work / "tried")
    if wanted:
        _correct(rows, wanted, own, config, address)
    again = []
    if any(r.get("made") for r in rows):
        again = _measure_again(rows, work / "tried", out, corrected, config, is_shards, address)
    back = _after_verdict(rows, undecided, work)
    if back:
        _correct(rows, back, own, config, address)
    _place(rows, own, kind)
    own.about_to_write(made)
    _write(rows, out / "resync.parquet")
    write_atomic(
        out / "summary.json",
        json.dumps(
            {
                "before": before.summary,
                "after": summarize(again),
                "fates": dict(sorted(Counter(r["fate"] for r in rows).items())),
            },
            indent=1,
        ),
    )
    from pipeline.resync.report import write_report

    write_report(out / "report.html", as_text(path.name), rows)
    own.wrote(made)
    print(
        "; ".join(
            f"{count} {fate}" for fate, count in Counter(r["fate"] for r in rows).most_common()
        )
        + f"; {out}",
        file=sys.stderr,
    )
    return rows


def _correct(
    rows: list[dict[str, Any]],
    corrections: Sequence[Correction],
    own: OwnFolder,
    config: BuildConfig,
    address: str | None,
) -> None:
    """Write them; a clip that could not be written is left out, and says why."""
    work = (own.root / "work").resolve()
    with CorpusLock(work) as lock:
        forget_lost(corrections, work, own.files.values())
        with running(
            CORRECT_JOB,
            {"correct": CorrectConfig()},
            config,
            WorkFiles(work),
            lock,
            corrections,
            address=address,
        ) as runner:
            entries = runner.run(corrections)
    lost: dict[str, str] = {}
    for entry in entries["correct"].values():
        for result in entry.results:
            if result.failure is not None:
                lost[result.item_id] = f"correct failed: {result.failure.exception}"
            elif result.reject is not None:
                lost[result.item_id] = f"correct: {result.reject.detail or result.reject.reason}"
    for item in corrections:
        if item.item_id not in lost and not as_path(item.target).exists():
            lost[item.item_id] = f"{item.target} is gone since it was made; run again"
    for row in rows:
        if row.get("item_id") in lost:
            row.update(
                fate=fates.LEFT_OUT,
                applied_lag_ms=None,
                applied_drift_ppm=None,
                made=None,
                reason=lost[row["item_id"]],
            )


def _measure_again(
    rows,
    tried: Path,
    out: Path,
    name: str,
    config: BuildConfig,
    is_shards: bool,
    address: str | None,
) -> list[dict[str, Any]]:
    """Residuals into `rows`; the rows of the second measurement, with their speakers."""
    again = audit(
        tried,
        out / "after",
        config,
        layout="shards" if is_shards else "folder",
        address=address,
        name=name,
        is_step=True,
    )
    found = {(r["path"], r["clip_id"] if is_shards else None): r for r in again.rows}
    seen = []
    for row in rows:
        if not row.get("made"):
            continue
        after = found.get((row["made"], row["clip_id"] if is_shards else None))
        row["after"] = after
        if after is not None:
            seen.append({**after, "speaker": row.get("speaker")})
            row |= {
                "residual_lag_ms": after.get("video_lag_ms"),
                "residual_status": after["offset_status"],
                "residual_start_ms": after.get("start_lag_ms"),
                "residual_end_ms": after.get("end_lag_ms"),
                "residual_drift_ppm": after.get("drift_ppm"),
            }
    return seen


def _after_verdict(rows: list[dict[str, Any]], undecided: str, work: Path) -> list[Correction]:
    """Fates from residuals; what must be written once more because some went back."""
    changed: set[str] = set()
    for row in rows:
        after = row.pop("after", None)
        if not row.get("made") or row["fate"] != fates.CORRECTED:
            continue
        row["fate"], why = fates.judged(row, after)
        row["reason"] = why
        if row["fate"] in fates.CONTRADICTED:
            changed.add(row["item_id"])
            stays = undecided == "keep"
            row.update(
                applied_lag_ms=0.0 if stays else None,
                applied_drift_ppm=0.0 if stays else None,
                made=None,
            )
    if not changed:
        return []
    # Of a shard all samples that stay are written again, of files only those put back.
    return plan.corrections_of([r for r in rows if r.get("item_id") in changed], work / "put_back")


def _place(rows: list[dict[str, Any]], own: OwnFolder, kind: str) -> None:
    made = {row["to"]: as_path(row["made"]) for row in rows if row.get("made")}
    refused = place(made, own, kind)
    for row in rows:
        if row.get("made") and row["to"] in refused:
            row.update(
                fate=fates.LEFT_OUT,
                applied_lag_ms=None,
                applied_drift_ppm=None,
                made=None,
                reason=refused[row["to"]],
            )
        row["target"] = as_text(own.root.resolve() / kind / row["to"]) if row.get("made") else None


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    columns = [*COLUMNS, *MORE_COLUMNS]
    schema = pa.schema(
        [pa.field(n, pa.float64() if n.endswith(NUMBERS) else pa.string()) for n in columns]
    )
    table = [
        {n: names.shown(v) if isinstance(v := r.get(n), str) else v for n in columns} for r in rows
    ]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(table, schema), temporary)
