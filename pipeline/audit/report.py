"""The audit's page: a sentence and a histogram per speaker, outliers to see and hear, agreement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import jinja2
import numpy as np

from manifests.clock import FRAME_RATE, SAMPLES_PER_FRAME
from manifests.files import write_atomic
from manifests.media.encode import encode_flac, encode_video
from manifests.media.pictures import iter_frames
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from manifests.paths import as_path
from manifests.shards import SampleIndex
from pipeline.audit import lengths, recordings
from pipeline.corpus.report import charts, samples

NUM_OUTLIERS, OUTLIER_MS, SHOWN_S, SHOWN_PX = 6, 80.0, 6.0, 320
MAX_SPEAKERS_SHOWN = 40


def write_report(
    path: Path, name: str, layout: str, rows: list[dict[str, Any]], estimators: Sequence[str]
) -> None:
    """Write the self-contained page."""
    from pipeline.audit import sentence, summarize

    first = [
        r for r in rows if r.get("estimator") is None or r["estimator"].startswith(estimators[0])
    ]
    summary = summarize(first)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent, Path(charts.__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    measured = [r for r in first if r.get("video_lag_ms") is not None]
    lags = [r["video_lag_ms"] for r in measured]
    containers = [r["container_lag_ms"] for r in first if r.get("container_lag_ms") is not None]
    drifts = [r["drift_ms_per_min"] for r in first if r.get("drift_ms_per_min") is not None]
    by = [(s, [r for r in measured if r.get("speaker") == s["speaker"]]) for s in summary]
    page = environment.get_template("audit.html").render(
        name=name,
        layout=layout,
        estimators=list(estimators),
        total=len(first),
        measured=len(measured),
        length=lengths.sentence(first),
        sentences=[sentence(s) for s in summary[:MAX_SPEAKERS_SHOWN]],
        more=max(0, len(summary) - MAX_SPEAKERS_SHOWN),
        overall=[
            charts.histogram(lags, 40, "ms", "content: video lag", -400, 400),
            charts.histogram(
                containers, 5, "ms", "container: what readers without timestamps add", -100, 100
            ),
        ],
        speakers=[
            {
                "title": s["speaker"] or "speaker not known",
                "charts": [
                    charts.histogram(
                        [r["video_lag_ms"] for r in group], 40, "ms", "video lag", -400, 400
                    ),
                    charts.scatter(
                        [(r["video_lag_ms"], r["confidence"] or 0.0) for r in group],
                        "video lag, ms",
                        "confidence",
                    ),
                ],
            }
            for s, group in by[:MAX_SPEAKERS_SHOWN]
            if group
        ],
        without=charts.bars(_reasons(first), "clips without a number"),
        agreement=agreement(rows, estimators),
        drift=charts.histogram(drifts, 20, "ms/min", "drift of single faces", -200, 200)
        if drifts
        else None,
        recordings=recordings.sentences(first),
        outliers=outliers(measured, {s["speaker"]: s["centre_ms"] for s in summary}),
        outlier_ms=OUTLIER_MS,
    )
    write_atomic(path, page)


def _reasons(rows) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for row in rows:
        if row.get("video_lag_ms") is None:
            text = row["offset_status"]
            if text == "undecided":
                text += ": " + (row.get("reason") or "")[:60].split(" 0.")[0]
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


def outliers(rows: list[dict[str, Any]], centres: dict[Any, float]) -> list[dict[str, Any]]:
    """The clips farthest from their speaker's centre, before and after correction."""
    far = [(abs(r["video_lag_ms"] - centres[r.get("speaker")]), r) for r in rows]
    far = sorted((p for p in far if p[0] > OUTLIER_MS), key=lambda p: -p[0])[:NUM_OUTLIERS]
    shown = []
    for _, row in far:
        try:
            face, pcm, start = _pictures(row)
        except (OSError, ValueError, KeyError, av.FFmpegError) as error:
            shown.append({"row": row, "before": None, "after": None, "problem": str(error)})
            continue
        before = _sound(pcm, start, len(face), 0.0)
        after = _sound(pcm, start, len(face), row["video_lag_ms"])
        content = encode_video(face)[0]
        shown.append(
            {
                "row": row,
                "problem": None,
                "before": samples.muxed(content, encode_flac(before)),
                "after": samples.muxed(content, encode_flac(after)),
            }
        )
    return shown


def _pictures(row: dict[str, Any]) -> tuple[list[np.ndarray], np.ndarray, int]:
    """Up to six seconds of a clip's frames, its sound, and the first frame's number."""
    path = as_path(row["path"])
    start = row["start_frame"]
    end = min(row["end_frame"], start + round(SHOWN_S * FRAME_RATE))
    if path.suffix == ".tar":
        sample = SampleIndex.of(path)[row["clip_id"]]
        return list(sample.faces()[start:end]), sample.sound, start
    video = open_video(path)
    frames = []
    for _, picture in iter_frames(video, start_frame=start, end_frame=end):
        scale = SHOWN_PX / max(picture.shape[:2])
        size = tuple(max(2, 2 * round(scale * n / 2)) for n in picture.shape[1::-1])
        frames.append(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    return frames, read_audio(video, path), start


def _sound(pcm: np.ndarray, start: int, frames: int, lag_ms: float) -> np.ndarray:
    """The sound of the frames once a lag is taken away (video late: sound from earlier)."""
    first = start * SAMPLES_PER_FRAME - round(lag_ms * 16)
    rows = np.arange(first, first + frames * SAMPLES_PER_FRAME)
    inside = (rows >= 0) & (rows < len(pcm))
    made = np.zeros(len(rows), np.int16)
    made[inside] = pcm[rows[inside]]
    return made
