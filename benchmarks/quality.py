"""Two states of the code beside each other, over the reference clips: what was found, and how well.

    python -m benchmarks.quality run OUT.json [--data FOLDER] [--only TEXT] [--every N]
    python -m benchmarks.quality compare BEFORE.json AFTER.json [--json]

`run` takes every file through the per-video stages (`in_process`) and keeps what it finds as
JSON. `compare` prints a table: faces found, clips and their spans, landmarks and lip opening over
the eye distance, offsets, PSNR, bytes. A state from before is measured with a checkout of it.
"""

from __future__ import annotations

import argparse
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decodes import data_folder
from benchmarks.in_process import Ran, run_files
from pipeline.config.build_config import load_config
from pipeline.run.tables import table

SUFFIXES = (".mpg", ".mp4", ".mkv", ".mov", ".webm", ".avi")


def facts_of(ran: Ran, work: Path) -> dict[str, Any]:
    """What is compared of one file, as plain values."""
    from stages.faces.track_faces import TrackFaces

    tracks = ran.records.get("tracks", [])
    faces = []
    for track in tracks:
        found = TrackFaces.load(track, work)
        points = np.where(found.is_observed[:, None, None], found.landmarks, np.nan)
        faces.append(
            {
                "start": track.start_frame,
                "points": np.round(points, 2).tolist(),
                "boxes": np.round(found.boxes, 1).tolist(),
            }
        )
    clips = []
    for clip in ran.records.get("clips", []):
        with tarfile.open(work / clip.payload_path) as archive:
            size = next(m.size for m in archive if m.name.endswith("face.mp4"))
        clips.append(
            {
                "span": [clip.start_frame, clip.end_frame],
                "psnr_db": clip.face_psnr_db,
                "bytes": size,
                "residual_px": clip.registration_residual_px,
            }
        )
    return {
        "video_s": ran.video_s,
        "cpu_s": ran.cpu_s,
        "shots": [[s.start_frame, s.end_frame] for s in ran.records.get("shots", [])],
        "faces": faces,
        "offsets": [
            {
                "track": o.track_id,
                "status": o.offset_status,
                "lag_ms": o.video_lag_ms,
                "score": o.raw_score,
            }
            for o in ran.records.get("sync", [])
        ],
        "spans": {t.track_id: [t.start_frame, t.end_frame] for t in tracks},
        "rejects": [[r.stage, r.reason] for found in ran.rejects.values() for r in found],
        "embeddings": {i.track_id: i.embedding for i in ran.records.get("identity", [])},
        "clips": clips,
        "failures": [f.exception for f in ran.failures],
    }


def run(data: Path, out: Path, only: list[str], every: int) -> None:
    """Measure, and write `out`. Of GRID, whose clips are alike, every so many-th file is taken."""
    files = sorted(p for p in data.rglob("*") if p.suffix in SUFFIXES)
    grid = [p for p in files if p.parent.name.startswith("grid")]
    chosen = sorted({*grid[::every], *(p for p in files if p not in grid)})
    if only:  # in the order of the words, so that what matters most comes first
        chosen = list(dict.fromkeys(p for word in only for p in chosen if word in str(p)))
    made = {}
    with tempfile.TemporaryDirectory(prefix="yld-quality-") as folder:
        work = Path(folder)
        for ran in run_files(chosen, work, load_config(None, ())):
            name = str(ran.path.relative_to(data))
            made[name] = facts_of(ran, work)
            print(name, len(made[name]["clips"]), "clips", flush=True)
            out.write_text(json.dumps(made))


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Figures of the files that both have; landmarks where both saw the same face in a frame."""
    names = sorted(before.keys() & after.keys())
    shifts, gaps, lags, matched = [], [], [], 0
    totals = {side: 0 for side in ("before", "after")}
    for name in names:
        old, new = _faces(before[name]), _faces(after[name])
        totals["before"] += len(old)
        totals["after"] += len(new)
        for a, b in _pairs(old, new):
            matched += 1
            eyes = float(np.linalg.norm(a[36:42].mean(0) - a[42:48].mean(0)))
            shifts.append(float(np.linalg.norm(a - b, axis=1).mean()) / eyes)
            gaps.append(abs(_opening(a) - _opening(b)) / eyes)
        lags += _shared_lags(before[name], after[name])
    spans = [{(n, *c["span"]) for n in names for c in side[n]["clips"]} for side in (before, after)]
    return {
        "files": len(names),
        "video_s": round(sum(before[n]["video_s"] for n in names), 1),
        "face_frames": {**totals, "both": matched},
        "landmarks_over_eyes": _spread(shifts),
        "lip_opening_over_eyes": _spread(gaps),
        "lag_ms": {**_spread([abs(a - b) for a, b in lags]), "shared": len(lags)},
        "measured": {
            label: sum(o["status"] == "measured" for n in names for o in side[n]["offsets"])
            for label, side in (("before", before), ("after", after))
        },
        "tracks_kept": {
            label: sum(len(side[n]["offsets"]) for n in names)
            for label, side in (("before", before), ("after", after))
        },
        "clips": {
            "before": len(spans[0]),
            "after": len(spans[1]),
            "same_spans": len(spans[0] & spans[1]),
        },
        "clip_s": {label: _clip_s(side, names) for label, side in _sides(before, after)},
        "bytes_a_clip_s": {label: _rate(side, names) for label, side in _sides(before, after)},
        "psnr_db": {
            label: _spread([c["psnr_db"] for n in names for c in side[n]["clips"]], least=True)
            for label, side in _sides(before, after)
        },
    }


def _sides(before: dict, after: dict) -> tuple[tuple[str, dict], tuple[str, dict]]:
    return ("before", before), ("after", after)


def _faces(facts: dict[str, Any]) -> list[tuple[int, np.ndarray]]:
    """Frame and points [68, 2] of every face that was seen."""
    found = []
    for face in facts["faces"]:
        points = np.array(face["points"], float)
        seen = np.isfinite(points).all((1, 2))
        found += [(face["start"] + int(i), points[i]) for i in np.flatnonzero(seen)]
    return found


def _pairs(
    old: list[tuple[int, np.ndarray]], new: list[tuple[int, np.ndarray]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Faces of one frame whose middles are nearer than half an eye distance."""
    by_frame: dict[int, list[np.ndarray]] = {}
    for frame, points in new:
        by_frame.setdefault(frame, []).append(points)
    for frame, points in old:
        others = by_frame.get(frame, [])
        if not others:
            continue
        away = [float(np.linalg.norm(points.mean(0) - o.mean(0))) for o in others]
        eyes = float(np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0)))
        if min(away) < eyes / 2:
            yield points, others[int(np.argmin(away))]


def _opening(points: np.ndarray) -> float:
    """Gap of the inner lips, px."""
    return float(np.linalg.norm(points[61:64] - points[[67, 66, 65]], axis=1).mean())


def _shared_lags(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[float, float]]:
    """Lags of tracks that overlap by more than half and are measured on both sides."""
    pairs = []
    for a in before["offsets"]:
        for b in after["offsets"]:
            (s, e), (t, f) = before["spans"][a["track"]], after["spans"][b["track"]]
            shared = min(e, f) - max(s, t)
            if shared > 0.5 * max(e - s, f - t) and None not in (a["lag_ms"], b["lag_ms"]):
                pairs.append((a["lag_ms"], b["lag_ms"]))
    return pairs


def _spread(values: list[float], least: bool = False) -> dict[str, float | None]:
    if not values:
        return {"median": None, "most": None}
    edge = min(values) if least else max(values)
    name = "least" if least else "most"
    return {"median": round(float(np.median(values)), 4), name: round(float(edge), 4)}


def _clip_s(side: dict[str, Any], names: list[str]) -> float:
    return sum(c["span"][1] - c["span"][0] for n in names for c in side[n]["clips"]) / 25


def _rate(side: dict[str, Any], names: list[str]) -> int | None:
    length = _clip_s(side, names)
    whole = sum(c["bytes"] for n in names for c in side[n]["clips"])
    return round(whole / length) if length else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run")
    one.add_argument("out", type=Path)
    one.add_argument("--data", type=Path, default=data_folder())
    one.add_argument("--only", nargs="*", default=[], help="files whose path has one of these")
    one.add_argument("--every", type=int, default=1, help="every n-th file of GRID")
    two = commands.add_parser("compare")
    two.add_argument("before", type=Path)
    two.add_argument("after", type=Path)
    two.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.command == "run":
        run(options.data, options.out, options.only, options.every)
        return
    found = compare(*(json.loads(p.read_text()) for p in (options.before, options.after)))
    if options.json:
        print(json.dumps(found))
        return
    rows = [
        {"what": name, "found": ", ".join(f"{k} {v}" for k, v in value.items())}
        if isinstance(value, dict)
        else {"what": name, "found": value}
        for name, value in found.items()
    ]
    print(table(rows, ["what", "found"]))


if __name__ == "__main__":
    main()
