"""Pictures of reference clips, faces in them by agreement of detectors, and how each face lies.

Nobody has marked the faces of these clips, so detectors judge each other: a face is there for a
detector if at least two detectors of other families found it. No detector votes on itself.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from manifests.media.pictures import iter_pictures
from manifests.records import Fetched, Reject
from stages.backends.boxes import overlap
from stages.base import Context
from stages.sources.probe import Probe, ProbeConfig

MAX_SIDE_PX = 960
SAME_FACE = 0.4
"""Intersection over union of house squares from which two boxes are one face."""
FAMILIES = {
    "scrfd_500m": "scrfd",
    "retinaface_mobilenet": "retinaface",
    "retinaface_resnet50": "retinaface",
}


@dataclass(frozen=True)
class Shown:
    """One picture, uint8 [H, W, 3] RGB, at most 960 px."""

    clip: str
    source: str
    speaker: str
    has_faces: bool
    """The index gives the clip frontal faces."""
    pixels: np.ndarray


@dataclass
class Face:
    """What detectors agree on: boxes by detector (house squares) and their mean."""

    shown: int
    boxes: dict[str, np.ndarray] = field(default_factory=dict)
    yaw_deg: float | None = None

    @property
    def square(self) -> np.ndarray:
        return np.mean(list(self.boxes.values()), 0)

    @property
    def side_px(self) -> float:
        return float(self.square[2] - self.square[0])

    def is_there_for(self, detector: str) -> bool:
        """At least two families beside the detector's own found it."""
        own = family(detector)
        return len({family(d) for d in self.boxes} - {own}) >= 2


def family(detector: str) -> str:
    """Detectors of one network design do not confirm each other."""
    return FAMILIES.get(detector, detector)


def sample(index: Path, per_clip: int, max_clips_per_source: int = 12) -> Iterator[Shown]:
    """Evenly spaced pictures of the clips of a tab-separated index (path, source_repo, talking,
    frontal_face_share, speaker). Clips that cannot be read are left out."""
    with open(index, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    taken: dict[str, int] = {}
    for row in rows:
        source = row["source_repo"]
        if taken.get(source, 0) >= max_clips_per_source:
            continue
        pictures = _pictures(index.parent / row["path"], per_clip)
        if not pictures:
            continue
        taken[source] = taken.get(source, 0) + 1
        has_faces = row["talking"] != "no" or float(row["frontal_face_share"] or 0) > 0
        for pixels in pictures:
            yield Shown(row["path"], source, row["speaker"], has_faces, pixels)


def _pictures(path: Path, count: int) -> list[np.ndarray]:
    item = Fetched(
        source_id="s",
        video_id="v",
        media_path=str(path),
        sha256="",
        num_bytes=1,
        address=str(path),
        kind="file",
        requested_as=str(path),
    )
    try:
        outcome = Probe(ProbeConfig()).process([item], Context(path.parent))[0]
        if isinstance(outcome, Reject):
            return []
        (video,) = outcome
        wanted = set(np.linspace(0, video.num_frames - 1, count + 2).astype(int)[1:-1].tolist())
        return [p.rgb(MAX_SIDE_PX) for f, p in iter_pictures(video, path) if f in wanted]
    except (OSError, ValueError, RuntimeError):
        return []


def agree(found: dict[str, list[np.ndarray]], num_pictures: int) -> list[Face]:
    """House squares [N, 4] by detector and picture -> faces, each with who found it."""
    faces = []
    for i in range(num_pictures):
        here: list[Face] = []
        for detector, boxes in found.items():
            pairs = sorted(
                (
                    (overlap(b, f.square), j, k)
                    for j, b in enumerate(boxes[i])
                    for k, f in enumerate(here)
                ),
                key=lambda p: -p[0],
            )
            used: set[int] = set()
            for value, j, k in pairs:
                if value >= SAME_FACE and j not in used and detector not in here[k].boxes:
                    here[k].boxes[detector] = boxes[i][j]
                    used.add(j)
            here += [Face(i, {detector: b}) for j, b in enumerate(boxes[i]) if j not in used]
        faces += here
    return faces


def recall(faces: Sequence[Face], detector: str) -> tuple[int, int]:
    """Faces that are there for the detector and that it found, and how many are there."""
    there = [f for f in faces if f.is_there_for(detector)]
    return sum(detector in f.boxes for f in there), len(there)


def alone(faces: Sequence[Face], detector: str) -> int:
    """Boxes that no other family confirms: false ones, or faces that nobody else saw."""
    return sum(detector in f.boxes and len({family(d) for d in f.boxes}) == 1 for f in faces)
