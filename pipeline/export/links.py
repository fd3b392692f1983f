"""`yld export --as links`: the corpus without its media, for others to build again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from manifests.corpus import Corpus
from manifests.files import write_atomic
from manifests.links import as_said, is_links, text_of
from manifests.records import Hint, Track
from pipeline.corpus.facts import changed_settings
from pipeline.export.job import Exported
from stages.faces.track_faces import TrackFaces
from stages.hints import hints_by_source

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
    known = _Known(corpus)
    videos = [known.video(sources[v], clips[v]) for v in sorted(sources) if v in clips]
    if not videos:
        raise ValueError(f"no clip of {corpus.root} comes from a link: there is nothing to publish")
    num_clips = sum(len(video["clips"]) for video in videos)
    head = {
        "name": corpus.name,
        "code_version": version("yld-corpora"),
        "settings": changed_settings(corpus.root),
        "num_videos": len(videos),
        "num_clips": num_clips,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, text_of(head, videos))
    done.files, done.clips = 1, num_clips
    return done


def _clips(corpus: Corpus) -> dict[str, list[dict[str, Any]]]:
    samples = {row["clip_id"]: row for row in corpus.rows("samples")}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(corpus.rows("clips"), key=lambda r: r["clip_id"]):
        if row["clip_id"] in samples:
            found[row["video_id"]].append(row | {"sample": samples[row["clip_id"]]})
    return found


class _Known:
    """What the tables say of videos, tracks and links."""

    def __init__(self, corpus: Corpus) -> None:
        self._work = corpus.root / "work"
        self._videos = {row["video_id"]: row for row in corpus.rows("videos")}
        names = [f.name for f in fields(Track)]
        self._tracks = {
            row["track_id"]: Track(**{n: row[n] for n in names}) for row in corpus.rows("tracks")
        }
        self._hints = _hints(corpus)

    def video(self, source: dict[str, Any], clips: list[dict[str, Any]]) -> dict[str, Any]:
        facts = self._videos.get(source["video_id"], {})
        told = {name: source.get(name) for name in OF_VIDEO}
        told |= {
            "video_id": source["video_id"],
            "address": source["address"],
            "duration_us": facts.get("duration_us"),
            "clips": [self._clip(facts, row) for row in clips],
        }
        if hints := self._hints.get(source["video_id"]):
            told["hints"] = [as_said(hint) for hint in hints]
        return told

    def _clip(self, video: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        sample = row["sample"]
        return {name: row[name] for name in OF_CLIP} | {
            "speaker_id": sample["speaker_id"],
            "split": sample["split"],
            "sha256": sample["sha256"],
            "face_box": self._box(video, row),
            "text_sha256": None
            if row.get("text") is None
            else hashlib.sha256(row["text"].encode()).hexdigest(),
        }

    def _box(self, video: dict[str, Any], row: dict[str, Any]) -> list[float] | None:
        """Left, top, right and bottom of the face at the clip's first frame where it was seen, as a
        share of the picture; None where the work folder that has it is gone."""
        track = self._tracks.get(row["track_id"])
        if track is None or not video.get("width_px"):
            return None
        try:
            boxes = TrackFaces.load(track, self._work).boxes
        except (OSError, KeyError, ValueError):
            return None
        seen = boxes[row["start_frame"] - track.start_frame : row["end_frame"] - track.start_frame]
        box = next((b for b in seen if np.isfinite(b).all()), None)
        if box is None:
            return None
        size = np.array([video["width_px"], video["height_px"]] * 2)
        return [round(float(x), 4) for x in box / size]


def _hints(corpus: Corpus) -> dict[str, list[Hint]]:
    """By video what its corpus said of it, each once, in the order of ids."""
    names = [f.name for f in fields(Hint)]
    tables: dict[str, list[Any]] = {
        "hints": [Hint(**{n: row[n] for n in names}) for row in corpus.rows("hints")],
        "expanded": [SimpleNamespace(**row) for row in corpus.rows("expanded")],
    }
    by_source = hints_by_source(tables) if tables["hints"] else {}
    found: dict[str, dict[str, Hint]] = defaultdict(dict)
    for row in corpus.rows("sources"):
        found[row["video_id"]] |= {h.hint_id: h for h in by_source.get(row["source_id"], ())}
    return {video: [of[name] for name in sorted(of)] for video, of in found.items() if of}
