"""Clips of an audit to see and hear, as they are and with the measured lag taken away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any

import av
import cv2
import numpy as np

from manifests.clock import FRAME_RATE, SAMPLES_PER_FRAME
from manifests.media.encode import encode_flac, encode_video
from manifests.media.pictures import iter_frames
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from manifests.paths import as_path
from manifests.shards import SampleIndex
from pipeline.corpus.report import samples

Row = dict[str, Any]
NUM_OUTLIERS, NUM_PLAYERS, OUTLIER_MS = 6, 12, 80.0
SHOWN_S, SHOWN_PX, MOST_BYTES = 6.0, 320, 4_000_000
"""Of a clip in the page, and of all of them together."""


def players(rows: list[Row], centres: Mapping[Any, float]) -> list[dict[str, Any]]:
    """A pair of videos, base64, for each clip that `chosen` names, as long as they fit; `problem`
    instead where it cannot be read. `centres`: ms, by speaker."""
    shown: list[dict[str, Any]] = []
    num_bytes = 0
    for row, off_ms in chosen(rows, centres):
        one: dict[str, Any] = {"row": row, "off_ms": off_ms, "problem": None}
        try:
            face, pcm, start = _pictures(row)
            content = encode_video(face)[0]
            for name, lag_ms in (("before", 0.0), ("after", row["video_lag_ms"])):
                sound = encode_flac(_sound(pcm, start, len(face), lag_ms))
                one[name] = samples.muxed(content, sound)
        except (OSError, ValueError, KeyError, av.FFmpegError) as error:
            one["problem"] = str(error)
        else:
            num_bytes += len(one["before"]) + len(one["after"])
            if num_bytes > MOST_BYTES:
                break
        shown.append(one)
    return shown


def chosen(rows: Iterable[Row], centres: Mapping[Any, float]) -> list[tuple[Row, float | None]]:
    """The clips farthest from their speaker's centre, with how far in ms; then, speaker by speaker
    in turn, those farthest from 0, with None."""
    rows = list(rows)
    far = [(r["video_lag_ms"] - centres[r.get("speaker")], r) for r in rows]
    far = sorted((p for p in far if abs(p[0]) > OUTLIER_MS), key=lambda p: -abs(p[0]))
    outliers: list[tuple[Row, float | None]] = [(r, off) for off, r in far[:NUM_OUTLIERS]]
    taken = {id(row) for row, _ in outliers}
    by: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: -abs(r["video_lag_ms"])):
        if id(row) not in taken:
            by[row.get("speaker") or ""].append(row)
    turns = zip_longest(*(by[name] for name in sorted(by)))
    others = [(row, None) for turn in turns for row in turn if row is not None]
    return [*outliers, *others][:NUM_PLAYERS]


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
