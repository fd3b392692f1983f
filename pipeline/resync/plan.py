"""What `yld resync` sets out to do: a row for every input, and the files to write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manifests import walk
from manifests.ids import hash_id
from manifests.paths import as_path, as_text
from manifests.records import Correction
from pipeline.audit import Audit, centres
from pipeline.resync import fates, names
from stages.sources import layouts
from stages.sync.together import AGREE_MS, CONTRADICTS


def rows_of(found: Audit, path: Path, out: Path, undecided: str) -> list[dict[str, Any]]:
    """A row for each clip, with its intended fate and lag, then one for every other file."""
    items = found.items
    inside = {i.path: i.inside for i in items if i.missing is None}
    is_shards = items[0].kind == "shard"
    centre = centres(found.summary)
    rows = []
    for number, row in enumerate(found.rows):
        place: dict[str, Any]
        if is_shards:
            place = {"inside": inside.get(row["path"]), "start_s": None, "end_s": None}
        else:
            item = items[number]
            place = {"inside": item.inside, "start_s": item.start_s, "end_s": item.end_s}
        made = row | place
        rows.append(made | _intention(made, centre, undecided))
    return rows + _passed_over(path, out, found)


def _intention(row: dict[str, Any], centre: dict[Any, float], undecided: str) -> dict[str, Any]:
    left_out = {"fate": fates.LEFT_OUT, "applied_lag_ms": None, "applied_drift_ppm": None}
    if row["inside"] is None or not as_path(row["path"]).exists():
        return left_out
    if row.get("video_lag_ms") is not None:
        if row.get("drift_status") == "drifts":
            return {
                "fate": fates.CORRECTED,
                "applied_lag_ms": row["zero_lag_ms"],
                "applied_drift_ppm": row["drift_ppm"],
                "corrected_by": "line",
            }
        return {
            "fate": fates.CORRECTED,
            "applied_lag_ms": row["video_lag_ms"],
            "applied_drift_ppm": 0.0,
            "corrected_by": "own",
        }
    if undecided == "keep":
        return {"fate": fates.KEPT, "applied_lag_ms": 0.0, "applied_drift_ppm": 0.0}
    lag = centre.get(row.get("speaker")) if undecided == "speaker" else None
    if lag is None or contradicts_centre(row.get("peak_lag_ms"), row.get("confidence"), lag):
        return left_out
    return {
        "fate": fates.CORRECTED,
        "applied_lag_ms": lag,
        "applied_drift_ppm": 0.0,
        "corrected_by": "speaker",
    }


def contradicts_centre(own_ms: float | None, sure: float | None, lag_ms: float) -> bool:
    """Whether a clip's own peak, half believed, lies elsewhere than its speaker's centre."""
    return own_ms is not None and abs(own_ms - lag_ms) > AGREE_MS and (sure or 0.0) >= CONTRADICTS


def _passed_over(path: Path, out: Path, found: Audit) -> list[dict[str, Any]]:
    """Files beside the clips that nobody took for one."""
    root = layouts.root_of(path, found.layout)
    if path.is_file() and found.layout not in layouts.LISTS:
        return []
    taken = {i.inside for i in found.items if i.inside is not None}
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for file in [*walk.walk(root).files, *_links_not_followed(root)]:
        inside = as_text(file.relative_to(root).as_posix())
        if (
            inside in taken | seen
            or file == path
            or out.resolve() in file.resolve().parents
            or (file.is_dir() and any(t.startswith(f"{inside}/") for t in taken | seen))
        ):
            continue
        seen.add(inside)
        rows.append(
            {
                "path": as_text(file),
                "clip_id": inside,
                "inside": inside,
                "fate": fates.PASSED_OVER,
                "reason": _why_not(file, root, found.layout),
            }
        )
    return rows


def _links_not_followed(root: Path) -> list[Path]:
    """Links to folders (one that was entered has files in it), and those that lead nowhere."""
    links = [
        Path(folder) / n
        for folder, folders, files in os.walk(root)
        for n in [*folders, *files]
        if (Path(folder) / n).is_symlink()
    ]
    return sorted(p for p in links if p.is_dir() or not p.exists())


def _why_not(file: Path, root: Path, layout: str) -> str:
    if file.is_dir():
        return "a link to a folder that holds nothing of its own, or was read already"
    if not file.exists():
        return "a link that leads nowhere"
    if any(part.startswith(".") for part in file.relative_to(root).parts):
        return "hidden"
    if layout in ("yld", "shards"):
        return "no shard"
    if not walk.is_media(file):
        return f"{as_text(file.suffix) or 'no suffix'}: not known as media"
    return "no line of the list names it" if layout in layouts.LISTS else "not taken for a clip"


def corrections_of(rows: Sequence[dict[str, Any]], work: Path) -> list[Correction]:
    """What to write for the rows that have a lag, below `work`; notes the file in `made` of each.

    A file is named after what is done to it, so that one of another plan is never taken for it.
    """
    made = []
    for group in _groups(rows):
        first = group[0]
        is_shard = first["path"].endswith(".tar")
        lags = [float(r["applied_lag_ms"]) for r in group]
        ids = [r["clip_id"] for r in group]
        ppm = 0.0 if is_shard else float(first["applied_drift_ppm"] or 0.0)
        span = (first.get("start_s"), first.get("end_s"))
        item_id = hash_id(
            "shard" if is_shard else "file",
            first["path"],
            first["to"],
            *map(str, (*ids, *lags, ppm, *span)),
        )
        target = work / item_id[:12] / first["to"]
        for row in group:
            row["made"], row["item_id"] = as_text(target), item_id
        made.append(Correction(item_id, first["path"], as_text(target), ids, lags, ppm, *span))
    return made


def _groups(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The samples of one shard together; a clip of its own file alone."""
    by: dict[tuple, list[dict[str, Any]]] = {}
    for number, row in enumerate(rows):
        if row.get("applied_lag_ms") is not None:
            key = (row["path"],) if row["path"].endswith(".tar") else (row["path"], number)
            by.setdefault(key, []).append(row)
    return list(by.values())


def name_targets(rows: Sequence[dict[str, Any]], is_shards: bool, tells_case: bool) -> None:
    """Give every clip that may be written its place, `to`, below `media` or `shards`.

    Places do not depend on fates: what is left out today keeps its name free for tomorrow.
    """
    named = [r for r in rows if r["fate"] != fates.PASSED_OVER and r["inside"] is not None]
    if is_shards:
        for row in named:
            row["to"] = "/".join(map(names.plain, as_path(row["inside"]).as_posix().split("/")))
        return
    wanted = [
        names.Wanted(as_path(r["inside"]).as_posix(), r["start_s"], r["end_s"]) for r in named
    ]
    for row, target in zip(named, names.targets(wanted, tells_case), strict=True):
        row["to"] = str(target)
