"""One row per clip: its offset, taken apart into container and content, or why there is none."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.clock import FRAME_RATE
from manifests.files import atomic_path
from manifests.records import Measured
from pipeline.run.finished import Entries
from stages.sources.layouts import Item
from stages.sync.estimators import ESTIMATORS

SCHEMA = pa.schema(
    [
        pa.field(name, kind, metadata={"unit": unit, "doc": doc})
        for name, kind, unit, doc in (
            ("path", pa.string(), "", "media file, or shard"),
            ("clip_id", pa.string(), "", "stem of the file, or key of the sample"),
            ("speaker", pa.string(), "", "as the layout tells; null where it does not"),
            (
                "start_frame",
                pa.int64(),
                "frame",
                "first measured frame, 25 fps from the first picture",
            ),
            ("end_frame", pa.int64(), "frame", "one past the last measured frame"),
            ("video_lag_ms", pa.float64(), "ms", "content: > 0, video lags audio; or null"),
            (
                "container_lag_ms",
                pa.float64(),
                "ms",
                "what a reader without timestamps sees on top",
            ),
            ("confidence", pa.float64(), "", "calibrated P(error within 40 ms), or null"),
            ("raw_score", pa.float64(), "", "the estimator's own unit"),
            (
                "offset_status",
                pa.string(),
                "",
                "measured | undecided | at_search_limit | no_speech | no_face",
            ),
            ("reason", pa.string(), "", "why there is no number"),
            ("offset_scope", pa.string(), "", "track | video: inherited from its other tracks"),
            ("peak_lag_ms", pa.float64(), "ms", "the face's own best lag, believed or not"),
            ("heard_s", pa.float64(), "s", "speech of the face that was compared"),
            ("windows_needed", pa.int64(), "", "windows that decided; null where all did not"),
            ("seconds_needed", pa.float64(), "s", "time that these cover"),
            ("estimator", pa.string(), "", "estimator and version"),
            ("search_ms", pa.float64(), "ms", "search range, plus and minus"),
            (
                "drift_ms_per_min",
                pa.float64(),
                "ms/min",
                "trend of the windows of this face alone; null with few measured windows",
            ),
            (
                "drift_status",
                pa.string(),
                "",
                "of the whole recording, from all its faces: drifts | "
                "steady | uneven | unknown; null for samples of shards",
            ),
            ("drift_reason", pa.string(), "", "why it is uneven or unknown"),
            ("drift_ppm", pa.float64(), "ppm", "slope of the lag; > 0: the picture falls back"),
            ("drift_error_ppm", pa.float64(), "ppm", "standard error of the slope"),
            ("zero_lag_ms", pa.float64(), "ms", "lag of that line where the recording begins"),
            (
                "start_lag_ms",
                pa.float64(),
                "ms",
                "lag at the first window, by the first quarter alone",
            ),
            ("end_lag_ms", pa.float64(), "ms", "lag at the last window, by the last quarter alone"),
        )
    ],
    metadata={"schema_version": "3"},
)

OWN_FIELDS = ("offset_scope", "peak_lag_ms", "heard_s", "windows_needed", "seconds_needed")
DRIFT_FIELDS = (
    "drift_status",
    "drift_reason",
    "drift_ppm",
    "drift_error_ppm",
    "zero_lag_ms",
    "start_lag_ms",
    "end_lag_ms",
)
# What a reject of an earlier stage means for a clip's offset.
RATE = float(FRAME_RATE)
STATUS_OF = {"no_face": "no_face", "face_too_brief": "no_face", "no_audio": "no_speech"}


def of_files(
    items: list[Item], entries: Entries, estimators: list[str], search_ms: float
) -> list[dict[str, Any]]:
    """Rows of media files, one per item and estimator, in the items' order."""
    videos = {r.video_id: r for e in entries["probe"].values() for r in e.outputs}
    video_of = {f.media_path: f.video_id for e in entries["download"].values() for f in e.outputs}
    why = _why(entries)
    offsets: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    length = {
        t.track_id: (t.start_frame, t.end_frame)
        for e in entries["tracks"].values()
        for t in e.outputs
    }
    for entry in entries["measure"].values():
        for row in entry.outputs:
            offsets[row.video_id, row.estimator.rsplit("-", 1)[0]].append(row)
    rows = []
    for item in items:
        for name in estimators:
            base = {
                "path": item.path,
                "clip_id": item.clip_id,
                "speaker": item.speaker,
                "search_ms": search_ms,
                "estimator": f"{name}-{ESTIMATORS[name].version}",
            }
            video_id = video_of.get(item.path, "")
            found = [
                o for o in offsets.get((video_id, name), []) if _inside(length[o.track_id], item)
            ]
            video = videos.get(video_id)
            if video is not None:
                base["container_lag_ms"] = video.container_lag_ms
            if item.missing:
                rows.append(base | {"offset_status": "undecided", "reason": item.missing})
            elif not found:
                status, reason = (
                    why.get(video_id)
                    or why.get(item.path)
                    or ("no_face", "no face was followed in this span")
                )
                rows.append(base | {"offset_status": status, "reason": reason})
            else:
                best = max(
                    found, key=lambda o: (_rank(o), length[o.track_id][1] - length[o.track_id][0])
                )
                spans = [length[o.track_id] for o in found]
                rows.append(base | _along(_of(best, *length[best.track_id]), best, item, spans))
    return rows


def of_shards(
    shard_of: dict[str, str], facts: dict[str, dict[str, Any]], entries: Entries
) -> list[dict[str, Any]]:
    """Rows of shards' samples, and one for each shard that could not be read.

    `shard_of` gives the path by unit; `facts` the samples' own `json` by key.
    """
    rows = []
    for unit, entry in entries["measure_shard"].items():
        for result in entry.results:
            for row in result.records or []:
                own = facts.get(row.track_id, {})
                base = {
                    "path": shard_of[unit],
                    "clip_id": row.track_id,
                    "container_lag_ms": 0.0,
                    "speaker": own.get("speaker_id"),
                }
                rows.append(base | _of(row, 0, own.get("num_frames")))
            lost = (
                result.failure.exception
                if result.failure
                else (result.reject.detail if result.reject else None)
            )
            if lost is not None:
                rows.append(
                    {
                        "path": shard_of[unit],
                        "clip_id": Path(shard_of[unit]).stem,
                        "offset_status": "undecided",
                        "reason": lost,
                    }
                )
    return rows


def _of(row: Measured, start: int, end: int | None) -> dict[str, Any]:
    return {name: getattr(row, name) for name in OWN_FIELDS} | {
        "start_frame": start,
        "end_frame": end,
        "video_lag_ms": row.video_lag_ms,
        "confidence": row.confidence,
        "raw_score": row.raw_score,
        "offset_status": row.offset_status,
        "reason": row.reason,
        "estimator": row.estimator,
        "search_ms": row.search_ms,
        "drift_ms_per_min": row.drift_ms_per_min,
    }


def _along(
    row: dict[str, Any], best: Measured, item: Item, spans: list[tuple[int, int]]
) -> dict[str, Any]:
    """A row with its recording's drift. Where that is known, all faces of the clip give its lag
    together: it is the line's, in the middle of what was measured."""
    row |= {name: getattr(best, name) for name in DRIFT_FIELDS}
    if best.drift_status in ("drifts", "steady"):
        start, end = min(a for a, _ in spans), max(b for _, b in spans)
        if (span := _span_of(item)) is not None:
            start, end = max(start, round(span[0])), min(end, round(span[1]))
        ppm = best.drift_ppm or 0.0
        lag = (best.zero_lag_ms or 0.0) + 1e-3 * ppm * (start + end) / (2 * RATE)
        row |= {
            "start_frame": start,
            "end_frame": end,
            "video_lag_ms": round(lag, 1),
            "offset_status": "measured",
            "reason": None,
            "confidence": best.drift_confidence,
        }
    return row


def _rank(row: Measured) -> tuple[bool, float, float]:
    """Of several faces the one that tells most about the sound stands for the clip."""
    return (row.offset_status == "measured", row.confidence or 0.0, row.raw_score or 0.0)


def _span_of(item: Item) -> tuple[float, float] | None:
    """Canonical frames of an item that is a span of its file; None for a whole file."""
    if item.start_s is None or item.end_s is None:
        return None
    return item.start_s * RATE, item.end_s * RATE


def _inside(span: tuple[int, int], item: Item) -> bool:
    whole = _span_of(item)
    if whole is None:
        return True
    low, high = whole
    return min(span[1], high) - max(span[0], low) > 0.5 * min(high - low, span[1] - span[0])


def _why(entries: Entries) -> dict[str, tuple[str, str]]:
    """By video id or path: status and reason of what fell out before it was measured."""
    path_of = {f.video_id: f.media_path for e in entries["download"].values() for f in e.outputs}
    path_of |= {s.source_id: s.address for e in entries["expand"].values() for s in e.outputs}
    found: dict[str, tuple[str, str]] = {}
    for stage, units in entries.items():
        for entry in units.values():
            for result in entry.results:
                if result.reject is not None:
                    status = STATUS_OF.get(result.reject.reason, "undecided")
                    text = f"{stage}: {result.reject.detail or result.reject.reason}"
                elif result.failure is not None:
                    status, text = "undecided", f"{stage} failed: {result.failure.exception}"
                else:
                    continue
                for name in (entry.unit, path_of.get(entry.unit)):
                    if name:
                        found.setdefault(name, (status, text))
    return found


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """`offsets.parquet`."""
    whole = [{name: row.get(name) for name in SCHEMA.names} for row in rows]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(whole, SCHEMA), temporary)


def centre_of(lags: list[float]) -> tuple[float, float]:
    """Median and 1.4826 times the median absolute deviation, ms."""
    values = np.array(lags)
    centre = float(np.median(values))
    return centre, float(1.4826 * np.median(np.abs(values - centre)))
