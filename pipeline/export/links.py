"""`yld export --as links`: the corpus without its media, for others to build again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from manifests.corpus import Corpus
from manifests.files import write_atomic
from manifests.links import is_links, is_private, text_of
from manifests.records import Track
from pipeline.config.build_config import BuildConfig
from pipeline.config.settings import flat, to_mapping
from pipeline.export.job import Exported
from stages.faces.track_faces import TrackFaces

OF_CLIP = (
    "clip_id",
    "track_id",
    "start_frame",
    "end_frame",
    "applied_lag_ms",
    "video_lag_ms",
    "offset_status",
    "confidence",
)
OF_VIDEO = (
    "extractor",
    "site_id",
    "title",
    "uploader",
    "licence",
    "consent",
    "sha256",
    "num_bytes",
)


def write_links(corpus: Corpus, out: Path) -> Exported:
    """Write the file `out`. Raises ValueError for a corpus without a clip from a link, and where
    another's file is at `out`."""
    if out.is_dir() or (out.exists() and not is_links(out)):
        raise ValueError(f"{out} is in the way, and yld did not write it; give another --out")
    done = Exported("links")
    sources = {r["video_id"]: r for r in corpus.rows("sources") if r["kind"] == "link"}
    clips = _clips(corpus)
    for video_id, rows in clips.items():
        if video_id not in sources:
            done.left_out += [
                (row["clip_id"], "its video is of a file, not a link") for row in rows
            ]
    videos = [_video(corpus, sources[v], clips[v]) for v in sorted(sources) if v in clips]
    if not videos:
        raise ValueError(f"no clip of {corpus.root} comes from a link: there is nothing to publish")
    num_clips = sum(len(video["clips"]) for video in videos)
    head = {
        "name": corpus.name,
        "code_version": version("yld-corpora"),
        "settings": settings_of(corpus.root),
        "num_videos": len(videos),
        "num_clips": num_clips,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, text_of(head, videos))
    done.files, done.clips = 1, num_clips
    return done


def settings_of(root: Path) -> dict[str, Any]:
    """Settings that differ from a build's own, by `group.key`, without those that are private."""
    path = root / "config.yaml"
    if not path.is_file():
        return {}
    had = dict(flat(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    default = dict(flat(to_mapping(BuildConfig())))
    return {
        name: value
        for name, value in sorted(had.items())
        if value != default.get(name) and not is_private(name)
    }


def _clips(corpus: Corpus) -> dict[str, list[dict[str, Any]]]:
    samples = {row["clip_id"]: row for row in corpus.rows("samples")}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(corpus.rows("clips"), key=lambda r: r["clip_id"]):
        if row["clip_id"] in samples:
            found[row["video_id"]].append(row | {"sample": samples[row["clip_id"]]})
    return found


def _video(corpus: Corpus, source: dict[str, Any], clips: list[dict[str, Any]]) -> dict[str, Any]:
    facts = {row["video_id"]: row for row in corpus.rows("videos")}.get(source["video_id"], {})
    told = {name: source.get(name) for name in OF_VIDEO}
    told |= {
        "video_id": source["video_id"],
        "address": source["address"],
        "duration_us": facts.get("duration_us"),
        "clips": [_clip(corpus, facts, row) for row in clips],
    }
    return told


def _clip(corpus: Corpus, video: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    sample = row["sample"]
    return {name: row[name] for name in OF_CLIP} | {
        "speaker_id": sample["speaker_id"],
        "split": sample["split"],
        "sha256": sample["sha256"],
        "face_box": _box(corpus, video, row),
        "text_sha256": None
        if row.get("text") is None
        else hashlib.sha256(row["text"].encode()).hexdigest(),
    }


def _box(corpus: Corpus, video: dict[str, Any], row: dict[str, Any]) -> list[float] | None:
    """Left, top, right and bottom of the face at the clip's first frame where it was seen, as a
    share of the picture; None where the work folder that has it is gone."""
    tracks = {t["track_id"]: t for t in corpus.rows("tracks")}
    if row["track_id"] not in tracks or not video.get("width_px"):
        return None
    told = tracks[row["track_id"]]
    track = Track(**{f.name: told[f.name] for f in fields(Track)})
    try:
        boxes = TrackFaces.load(track, corpus.root / "work").boxes
    except (OSError, KeyError, ValueError):
        return None
    seen = boxes[row["start_frame"] - track.start_frame : row["end_frame"] - track.start_frame]
    box = next((b for b in seen if np.isfinite(b).all()), None)
    if box is None:
        return None
    size = np.array([video["width_px"], video["height_px"]] * 2)
    return [round(float(x), 4) for x in box / size]
