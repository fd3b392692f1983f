"""A track's side file: arrays of one face by name, shape and unit, written and read here alone.

`tracks/{video_id}-*.npz` holds those of all tracks of a video, as `{track_id}/{name}`. The two
halves are read apart: hardly anybody who follows a face over time wants its chips.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from manifests.arrays import open_npz
from manifests.records import Track
from manifests.shards import ShardSample
from stages.networks.lipsync_features import mouths_of_faces


@dataclass(frozen=True)
class TrackFaces:
    """The face over the T frames of its track. Rows of frames where it was not observed are NaN,
    pictures of them black."""

    landmarks: np.ndarray
    """float32 [T, 68, 2], source pixels."""
    mouths: np.ndarray
    """uint8 [T, 40, 48], grey (`stages.faces.mouths`)."""
    is_observed: np.ndarray
    """bool [T]."""
    boxes: np.ndarray
    """float32 [T, 4] xyxy, source pixels."""
    score: np.ndarray
    """float32 [T], the detector's."""

    @classmethod
    def load(cls, track: Track, work: Path) -> TrackFaces:
        """From the side file below the work folder."""
        return cls(**_arrays(cls, track, work))

    @classmethod
    def of_sample(cls, sample: ShardSample) -> TrackFaces:
        """A sample of a shard seen as a track of its own, in pixels of its 256 px faces; boxes and
        scores are not known there and are NaN. Raises ShardError."""
        count = len(sample.landmarks)
        return cls(
            sample.landmarks,
            mouths_of_faces(sample.faces()),
            np.ones(count, bool),
            np.full((count, 4), np.nan, np.float32),
            np.full(count, np.nan, np.float32),
        )


@dataclass(frozen=True)
class TrackChips:
    """M pictures of the face taken here and there along its track, and what they were taken for."""

    chip_frames: np.ndarray
    """int [M], canonical frames."""
    chips: np.ndarray
    """uint8 [M, 150, 150, 3] RGB (`backends.chips`)."""
    aligned: np.ndarray
    """uint8 [M, 112, 112, 3] RGB."""
    embeddings: np.ndarray
    """float32 [M, D] of `embedder`."""
    embedder: np.ndarray
    """Its name, an array of one string."""

    @classmethod
    def load(cls, track: Track, work: Path) -> TrackChips:
        """From the side file below the work folder."""
        return cls(**_arrays(cls, track, work))

    def of(self, kind: str) -> np.ndarray:
        """The chips that an embedder takes: `chips` or `aligned`."""
        return {"chips": self.chips, "aligned": self.aligned}[kind]


def as_arrays(track_id: str, *parts: TrackFaces | TrackChips) -> dict[str, np.ndarray]:
    """What goes into the side file for one track."""
    return {
        f"{track_id}/{item.name}": getattr(part, item.name)
        for part in parts
        for item in fields(part)
    }


def _arrays(
    kind: type[TrackFaces] | type[TrackChips], track: Track, work: Path
) -> dict[str, np.ndarray]:
    archive = open_npz(work / track.faces_path)
    return {item.name: archive[f"{track.track_id}/{item.name}"] for item in fields(kind)}
