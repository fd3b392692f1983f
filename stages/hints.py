"""What hints of a corpus (`manifests.records.Hint`) mean on a video's own clock: which frames are
looked at, which face is meant, where clips may be cut.

A face is meant by a box if it overlaps it (`LEAST_OVERLAP`) or lies mostly inside it (lists of
crops give boxes wider than the face), by a point if its box, widened a little, holds it. Of faces
that are seen at the same time the best wins; a hint of a span alone means every face in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from manifests.records import Hint, Video

MARGIN_FRAMES = 25
"""Looked at on both sides of a span, so that faces are followed into it."""
LEAST_OVERLAP = 0.2
"""Intersection over union: annotators' boxes hold hair and neck or neither (inferred)."""
LEAST_INSIDE = 0.6
"""Share of the face's box inside a wider box (inferred)."""
POINT_MARGIN = 0.25
"""Of the box's sides: a point may lie at the chin or the hair line (inferred)."""
WORTH_SKIPPING = 0.1
"""Share of the video's frames to be left out before it is not read as a whole."""
STREAM_CONTAINERS = frozenset({"mpeg", "mpegts"})
"""Their stamps begin anywhere; players and captions count from the first one."""
REACH_S = 1.0
"""How far from a boxed time a box still says where the face is."""


@dataclass(frozen=True)
class HintSpan:
    """Canonical frames `[start, end)` that a hint is about."""

    hint: Hint
    start: int
    end: int


def hints_by_source(tables: Mapping[str, Sequence[Any]]) -> dict[str, list[Hint]]:
    """The hints on each source, by its id."""
    by_request: dict[str, list[Hint]] = defaultdict(list)
    for hint in tables["hints"]:
        by_request[hint.request_id].append(hint)
    return {
        source.source_id: by_request[source.request_id]
        for source in tables["expanded"]
        if source.request_id in by_request
    }


def spans_of(hints: Sequence[Hint], video: Video) -> list[HintSpan]:
    """The spans in order of time, none longer than the video; a hint that lies outside has none."""
    found = []
    for hint in hints:
        if hint.every_s is not None:
            found += _pieces(hint, video)
            continue
        start = 0 if hint.start_s is None else _frame(hint.start_s, video)
        end = video.num_frames if hint.end_s is None else _frame(hint.end_s, video)
        start, end = max(0, start), min(end, video.num_frames)
        if start < end:
            found.append(HintSpan(hint, start, end))
    return sorted(found, key=lambda s: (s.start, s.end, s.hint.hint_id))


def windows_of(hints: Sequence[Hint], video: Video) -> list[tuple[int, int]]:
    """Which frames are to be looked at: disjoint, in order; empty where all hints lie outside."""
    windows: list[tuple[int, int]] = []
    for span in spans_of(hints, video):
        low, high = span.start - MARGIN_FRAMES, span.end + MARGIN_FRAMES
        low, high = max(0, low), min(high, video.num_frames)
        if windows and low <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(high, windows[-1][1]))
        else:
            windows.append((low, high))
    left_out = video.num_frames - sum(high - low for low, high in windows)
    if windows and left_out < WORTH_SKIPPING * video.num_frames:
        return [(0, video.num_frames)]
    return windows


def meant(
    spans: Sequence[HintSpan], faces: Sequence[tuple[np.ndarray, np.ndarray]], video: Video
) -> list[list[HintSpan]]:
    """For each face the spans in which it is the one that is meant, disjoint and in order.

    `faces` are frames int [T] and boxes float [T, 4] xyxy in source pixels, of one shot.
    """
    allowed: list[list[HintSpan]] = [[] for _ in faces]
    for span in spans:
        scored = []
        for number, (frames, boxes) in enumerate(faces):
            inside = (frames >= span.start) & (frames < span.end)
            score = _fit(span.hint, frames[inside], boxes[inside], video)
            if score > 0:
                scored.append((score, number, frames[inside]))
        taken: set[int] = set()
        is_placed = bool(span.hint.boxes) or span.hint.point_x is not None
        for _, number, seen in sorted(scored, key=lambda s: (-s[0], s[1])):
            if is_placed and not taken.isdisjoint(seen.tolist()):
                continue  # a better one is seen at the same time
            taken.update(seen.tolist())
            allowed[number].append(span)
    return [_disjoint(group) for group in allowed]


def _disjoint(spans: Sequence[HintSpan]) -> list[HintSpan]:
    """Where spans overlap the later one begins where the earlier ends: no frame is cut twice."""
    made: list[HintSpan] = []
    for span in spans:
        start = max(span.start, made[-1].end) if made else span.start
        if start < span.end:
            made.append(HintSpan(span.hint, start, span.end))
    return made


def _pieces(hint: Hint, video: Video) -> list[HintSpan]:
    length = max(1, round((hint.every_s or 0.0) * Fraction(video.frame_rate)))
    return [
        HintSpan(hint, start, min(start + length, video.num_frames))
        for start in range(0, video.num_frames, length)
    ]


def second_zero_us(video: Video) -> int:
    """Second 0 of lists and captions on the canonical clock: the media's own, as players count."""
    if video.container in STREAM_CONTAINERS:
        return min(0, video.audio_start_us)
    return -video.zero_us


def _frame(time_s: float, video: Video) -> int:
    return round((time_s + second_zero_us(video) / 1e6) * float(Fraction(video.frame_rate)))


def _fit(hint: Hint, frames: np.ndarray, boxes: np.ndarray, video: Video) -> float:
    """How well a face fits a hint, 0: not at all."""
    if not len(frames):
        return 0.0
    if hint.boxes:
        at = _boxes_at(hint, frames, video)
        known = np.isfinite(at).all(1) & np.isfinite(boxes).all(1)
        if not known.any():
            return 0.0
        union, inside = _overlaps(boxes[known], at[known])
        score = float(np.median(union))
        return score if score >= LEAST_OVERLAP or np.median(inside) >= LEAST_INSIDE else 0.0
    if hint.point_x is not None and hint.point_y is not None:
        return _fit_point(hint.point_x * video.width_px, hint.point_y * video.height_px, boxes)
    return 1.0


def _fit_point(x: float, y: float, boxes: np.ndarray) -> float:
    """1 at the centre of the boxes, by their median; 0 outside of them."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    away = np.abs(np.array([x, y]) - centre) / np.maximum(half, 1e-6)
    farthest = float(np.nanmedian(away.max(1)))
    most = 1 + 2 * POINT_MARGIN
    return 0.0 if not farthest <= most else max(1e-3, 1 - farthest / most)


def _boxes_at(hint: Hint, frames: np.ndarray, video: Video) -> np.ndarray:
    """float [T, 4] in source pixels, between the times that are known; NaN far from all."""
    rate = float(Fraction(video.frame_rate))
    when = frames / rate - second_zero_us(video) / 1e6
    given = np.asarray(hint.boxes, float).reshape(-1, 4)
    if hint.box_height_px is None:
        given = given * np.array([video.width_px, video.height_px] * 2, float)
    else:
        given = given * (video.height_px / hint.box_height_px)
    if not hint.box_times_s:
        return np.repeat(given[:1], len(frames), axis=0)
    times = np.asarray(hint.box_times_s, float)
    made = np.stack([np.interp(when, times, given[:, i]) for i in range(4)], axis=1)
    nearest = np.abs(when[:, None] - times[None]).min(1)
    made[nearest > REACH_S] = np.nan
    return made


def _overlaps(faces: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection over union, and share of each face that lies inside its box; both [T]."""
    low, high = np.maximum(faces[:, :2], boxes[:, :2]), np.minimum(faces[:, 2:], boxes[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    face_area = np.maximum(np.prod(faces[:, 2:] - faces[:, :2], axis=1), 1e-6)
    box_area = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 0.0)
    return common / (face_area + box_area - common), common / face_area
