"""Tracks: one person's face through one shot, smoothed and measured.

Tracklets of the shots stage are joined when they follow each other in time and place and their
identity embeddings agree; a tracklet whose own chips disagree is split between them
(`people`). So that two people never share a track, doubt separates.

What the side file holds is said in `track_faces`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from scipy.signal import savgol_filter

from manifests.arrays import NpzWriter, npz_writer
from manifests.ids import track_id
from manifests.records import Hint, Reject, Shot, Track, Video, col
from stages.backends import registry
from stages.backends.boxes import overlap
from stages.base import Context, Resources, Stage
from stages.faces.head_pose import head_pose
from stages.faces.people import ChipEmbeddings, EmbedderName, Piece, joined, split_people
from stages.faces.sharpness import laplacian_variance
from stages.faces.side_file import FaceRows
from stages.faces.track_faces import TrackChips, TrackFaces, as_arrays
from stages.hints import HintSpan, meant, spans_of


@dataclass(frozen=True)
class TracksConfig:
    """How faces of a shot become tracks."""

    embedder: EmbedderName = col("identity embedding that guards tracks", default="dlib_resnet")
    device: Literal["cpu", "cuda"] = col("where the embedding runs", default="cpu")
    max_gap_frames: int = col("longest gap bridged inside a track", "frame", at_least=0, default=12)
    min_overlap: float = col(
        "intersection over union across a gap", at_least=0, at_most=1, default=0.15
    )
    join_distance: float = col(
        "embedding distance under which tracklets are one person, in dlib_resnet's unit",
        at_least=0,
        default=0.5,
    )
    split_distance: float = col(
        "distance of a chip to the mean of those before it above which it is someone else, in "
        "dlib_resnet's unit",
        at_least=0,
        default=0.55,
    )
    smooth_frames: int = col(
        "odd window of the smoothing of points, 5 or more; 0: none", "frame", at_least=0, default=5
    )
    min_frames: int = col("shortest track kept", "frame", at_least=1, default=5)

    def __post_init__(self) -> None:
        if self.smooth_frames and (self.smooth_frames < 5 or self.smooth_frames % 2 == 0):
            raise ValueError(
                f"smooth_frames must be 0 or an odd number of 5 or more, not {self.smooth_frames}"
            )


class Tracks(Stage[Shot, Track]):
    """Shots -> tracks; a shot without a followed face is a Reject."""

    name = "tracks"
    version = 6
    reasons = frozenset({"no_face", "face_too_brief", "not_hinted"})
    resources = Resources(memory_gb=4.0, timeout_s=300.0)
    side_folder = "tracks"

    @classmethod
    def devices(cls, config: TracksConfig) -> dict[str, str]:
        return {"device": config.device}

    @classmethod
    def check_here(cls, config: TracksConfig) -> None:
        registry.check_at_hand(registry.EMBEDDERS, config.embedder)

    def setup(self) -> None:
        self.embedder, self.unit = registry.ready_embedder(self.config.embedder, self.config.device)

    def fingerprint(self) -> dict[str, str]:
        return {"embedder": registry.fingerprint(registry.EMBEDDERS, self.config.embedder)}

    def process(self, batch: Sequence[Shot], context: Context) -> list[list[Track] | Reject]:
        video = context.the_video()
        faces = FaceRows(context.work / batch[0].faces_path)
        path = context.side_path(self.side_folder, video.video_id, ".npz")
        name = str(path.relative_to(context.work))
        with npz_writer(path) as out:
            return [self._shot(shot, video, context.hints, faces, name, out) for shot in batch]

    def _shot(
        self,
        shot: Shot,
        video: Video,
        hints: Sequence[Hint],
        faces: FaceRows,
        path: str,
        out: NpzWriter,
    ) -> list[Track] | Reject:
        arrays = faces.between(shot.start_frame, shot.end_frame)
        embeddings = ChipEmbeddings(self.embedder, faces)
        pieces = self._pieces(shot, video.num_frames, arrays, embeddings)
        if not pieces:
            return Reject("no_face", 0, 1, "no face was found in the shot")
        people = [
            p for p in self._join(pieces, embeddings) if len(p.frames) >= self.config.min_frames
        ]
        if not people:
            longest = max(len(p.frames) for p in pieces)
            return Reject(
                "face_too_brief",
                longest,
                self.config.min_frames,
                f"the longest face lasts {longest} frames",
            )
        people.sort(key=lambda p: (p.frames[0], p.boxes[0, 0]))
        seen = len(people)
        allowed: list[list[HintSpan]] = [[] for _ in people]
        if hints:
            spans = spans_of(hints, video)
            allowed = meant(spans, [(p.frames, p.boxes) for p in people], video)
            people = [p for p, group in zip(people, allowed, strict=True) if group]
            allowed = [group for group in allowed if group]
        if not people:
            return Reject(
                "not_hinted", 0, 1, f"none of {seen} faces is the one that the corpus names"
            )
        return [
            dataclasses.replace(
                self._track(shot, number, piece, embeddings, arrays["mouths"], path, out),
                hint_ids=[s.hint.hint_id for s in group],
                hint_start_frames=[s.start for s in group],
                hint_end_frames=[s.end for s in group],
            )
            for number, (piece, group) in enumerate(zip(people, allowed, strict=True))
        ]

    def _pieces(
        self,
        shot: Shot,
        num_frames: int,
        arrays: dict[str, np.ndarray],
        embeddings: ChipEmbeddings,
    ) -> list[Piece]:
        faces = embeddings.faces
        guard = shot.guard_frames
        low = shot.start_frame + (guard if shot.start_frame else 0)
        high = shot.end_frame - (guard if shot.end_frame < num_frames else 0)
        pieces = []
        # Guard frames give no track, but their chips help to say who is there.
        start, end = shot.start_frame, shot.end_frame
        for tracklet in np.unique(arrays["slot"]):
            rows = np.flatnonzero(arrays["slot"] == tracklet)
            of_tracklet = faces.chip_slot == tracklet
            within = (faces.chip_frame >= start) & (faces.chip_frame < end)
            chips = np.flatnonzero(of_tracklet & within)
            piece = Piece(
                arrays["frame"][rows],
                arrays["boxes"][rows],
                arrays["landmarks"][rows],
                arrays["score"][rows],
                rows,
                faces.chip_frame[chips],
                chips,
                faces.chip_likeness[chips],
            )
            for person in split_people(piece, embeddings, self.config.split_distance * self.unit):
                kept = person.part(low, high)
                if len(kept.frames):
                    pieces.append(kept)
        return pieces

    def _join(self, pieces: list[Piece], embeddings: ChipEmbeddings) -> list[Piece]:
        tracks: list[Piece] = []
        for piece in sorted(pieces, key=lambda p: (p.frames[0], p.boxes[0, 0])):
            best, best_distance = None, self.config.join_distance * self.unit
            for i, track in enumerate(tracks):
                gap = int(piece.frames[0] - track.frames[-1]) - 1
                if not 0 <= gap <= self.config.max_gap_frames:
                    continue
                if overlap(track.boxes[-1], piece.boxes[0]) < self.config.min_overlap:
                    continue
                if not (len(track.chip_rows) and len(piece.chip_rows)):
                    continue  # nothing vouches for the person: doubt separates
                distance = float(
                    np.linalg.norm(
                        embeddings(track.chip_rows).mean(0) - embeddings(piece.chip_rows).mean(0)
                    )
                )
                if distance < best_distance:
                    best, best_distance = i, distance
            if best is None:
                tracks.append(piece)
            else:
                tracks[best] = joined(tracks[best], piece)
        return tracks

    def _track(
        self,
        shot: Shot,
        number: int,
        piece: Piece,
        embeddings: ChipEmbeddings,
        all_mouths: np.ndarray,
        path: str,
        out: NpzWriter,
    ) -> Track:
        name = track_id(shot.shot_id, number)
        start, end = int(piece.frames[0]), int(piece.frames[-1]) + 1
        length, index = end - start, piece.frames - start
        observed = np.zeros(length, bool)
        observed[index] = True
        landmarks = np.full((length, 68, 2), np.nan, np.float32)
        landmarks[index] = piece.landmarks
        boxes = np.full((length, 4), np.nan, np.float32)
        boxes[index] = piece.boxes
        scores = np.full(length, np.nan, np.float32)
        scores[index] = piece.scores
        mouths = np.zeros((length, *all_mouths.shape[1:]), np.uint8)
        mouths[index] = all_mouths[piece.rows]
        chips = embeddings.faces.chips("chips", piece.chip_rows)
        landmarks = smooth(landmarks, self.config.smooth_frames)
        boxes = smooth(boxes, self.config.smooth_frames)
        out.add(
            as_arrays(
                name,
                TrackFaces(landmarks, mouths, observed, boxes, scores),
                TrackChips(
                    piece.chip_frames,
                    chips,
                    embeddings.faces.chips("aligned", piece.chip_rows),
                    embeddings(piece.chip_rows),
                    np.array(self.embedder.name),
                ),
            )
        )
        seen = landmarks[observed]
        eyes = seen[:, 42:48].mean(1) - seen[:, 36:42].mean(1)
        yaw, pitch, roll = head_pose(seen)
        return Track(
            name,
            shot.shot_id,
            shot.video_id,
            start,
            end,
            path,
            int((~observed).sum()),
            _round(np.median(np.max(piece.boxes[:, 2:] - piece.boxes[:, :2], axis=1))),
            _round(np.median(np.linalg.norm(eyes, axis=1))),
            _sharpness(chips),
            yaw,
            pitch,
            roll,
            _round(piece.scores.mean(), 3),
        )


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Quadratic Savitzky-Golay over each unbroken run of [T, ...]; NaN stays NaN.

    Zero phase and true to quadratic motion, so mouth opening keeps its time and most of its
    height. Runs shorter than the window stay as they are.
    """
    if window < 5:
        return values
    output = values.copy()
    missing = np.isnan(values.reshape(len(values), -1)).any(1)
    edges = np.flatnonzero(np.diff(np.concatenate([[1], missing, [1]]).astype(int)))
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        if high - low >= window:
            output[low:high] = savgol_filter(values[low:high], window, 2, axis=0, mode="interp")
    return output


def _sharpness(chips: np.ndarray) -> float:
    if not len(chips):
        return 0.0
    return _round(
        np.median([laplacian_variance(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)) for chip in chips]),
        2,
    )


def _round(value: float, digits: int = 2) -> float:
    return round(float(value), digits)
