"""Where the faces of one frame are: the detector's part of following (`following`).

dlib's detector looks for a face around where it was, at the size it likes; the whole picture is
searched once a second, after a jump, and when a face is lost, if a scout sees anybody new in it.
Detectors of `whole_picture` see every k-th frame whole, a batch of such frames at a time, whatever
the faces did in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

import cv2
import numpy as np

from manifests.records import col
from stages.backends.boxes import overlap
from stages.backends.protocols import Detector
from stages.cost_meter import Meter

DetectorName = Literal[
    "dlib_hog",
    "s3fd",
    "retinaface_resnet50",
    "retinaface_mobilenet",
    "scrfd",
    "scrfd_500m",
    "mediapipe",
    "yunet",
]
SearcherName = Literal["detector", "yunet"]
LandmarkerName = Literal["dlib_68", "fan_2d", "mediapipe"]

SCOUT_SIDE_PX, SCOUT_SCORE, SCOUT_OVERLAP = 320, 0.15, 0.4
"""A scout's picture, what it takes for a face, and how far that lies over a followed one. Of 1641
faces that dlib found in 2026 pictures of 300 files it saw each from a score of 0.3 on."""

Detection: TypeAlias = tuple[np.ndarray, float]
"""Square xyxy float32 [4] px, and the detector's score."""


@dataclass(frozen=True)
class FollowConfig:
    """How faces are looked for and held."""

    detector: DetectorName = col("face detector", default="dlib_hog")
    landmarks: LandmarkerName = col("68-point landmarker", default="dlib_68")
    device: Literal["cpu", "cuda"] = col("where the detector runs", default="cpu")
    landmarks_device: Literal["cpu", "cuda"] = col("where the landmarker runs", default="cpu")
    detect_every: int = col("detection interval", "frame", at_least=1, default=5)
    search_every: int = col(
        "interval of a search of the whole picture", "frame", at_least=1, default=25
    )
    # Not in the key at its default: corpora from before it keep their work.
    search_with: SearcherName = col(
        "what searches the whole picture: detector (itself), or yunet, which sees small and turned "
        "faces too; for detectors that look around faces",
        default="detector",
        in_key="unless_default",
    )
    scout: Literal["yunet", "none"] = col(
        "looks at a small picture first: the whole is searched where it sees a face that nobody "
        "follows; for detectors that look around faces",
        default="yunet",
        in_key="unless_default",
    )
    search_side_px: int = col("longer side of a searched picture", "px", at_least=64, default=720)
    face_side_px: int = col(
        "size a followed face is shown to the detector in", "px", at_least=32, default=110
    )
    min_score: float | None = col(
        "detector score of a new face; null: the detector's own", default=None
    )
    keep_score: float | None = col(
        "detector score that keeps a face; null: the detector's own", default=None
    )
    min_overlap: float = col(
        "intersection over union that links detections", at_least=0, at_most=1, default=0.3
    )
    min_similarity: float = col(
        "correlation of a face with itself one frame before", at_least=-1, at_most=1, default=0.5
    )
    chip_every: int = col(
        "longest interval of face chips for identity", "frame", at_least=1, default=50
    )


class Frame(NamedTuple):
    """A picture that was looked at."""

    number: int
    luma: np.ndarray
    """uint8 [H, W]."""
    rgb: Callable[[], np.ndarray]
    """Gives the same picture as uint8 [H, W, 3] when asked."""


class FrameDetector(Protocol):
    """Asked for the faces of every k-th frame, in order."""

    def last_needed(self, number: int) -> int:
        """The last frame that must be at hand before the faces of frame `number` are asked for."""
        ...

    def detect(
        self, frame: Frame, followed: Sequence[np.ndarray], coming: Sequence[Frame]
    ) -> list[Detection]:
        """Faces of `frame`, of which `followed` are the boxes one interval before; `coming` are
        the frames after it that are at hand."""
        ...

    def jumped(self) -> None:
        """The picture became another one before the next frame that is asked for."""
        ...


def frame_detector(
    config: FollowConfig,
    detector: Detector,
    meter: Meter,
    searcher: Detector | None = None,
    scout: Detector | None = None,
) -> FrameDetector:
    """As `detector` is to be asked: for whole pictures or around faces. `searcher` looks through
    the whole picture in its place where it looks around faces, `scout` says where that pays."""
    if detector.whole_picture:
        return WholePictures(config, detector, meter)
    return AroundFaces(config, detector, meter, searcher, scout)


class _Shown:
    """A detector with the thresholds of the settings, and its time measured."""

    def __init__(self, config: FollowConfig, detector: Detector, meter: Meter) -> None:
        self.config, self.detector, self.meter = config, detector, meter
        self.min_score = detector.min_score if config.min_score is None else config.min_score
        self.keep_score = detector.keep_score if config.keep_score is None else config.keep_score

    def show(
        self, pictures: list[np.ndarray], threshold: float, by: Detector | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Boxes xyxy [N, 4] px and scores [N] of each picture, of the detector or of `by`, as that
        draws them."""
        asked = by or self.detector
        asked.threshold = threshold
        with self.meter.timed("detector", len(pictures), asked):
            return asked.detect(pictures)


class WholePictures(_Shown):
    """Every frame that is asked for is seen whole, in one batch with those asked for next."""

    def __init__(self, config: FollowConfig, detector: Detector, meter: Meter) -> None:
        super().__init__(config, detector, meter)
        self._ahead: dict[int, list[Detection]] = {}
        """Frame -> detections that were made in one batch with an earlier frame's."""

    def last_needed(self, number: int) -> int:
        if number in self._ahead:
            return number
        return number + (self.detector.batch_size - 1) * self.config.detect_every

    def detect(
        self, frame: Frame, followed: Sequence[np.ndarray], coming: Sequence[Frame]
    ) -> list[Detection]:
        if frame.number not in self._ahead:
            every = self.config.detect_every
            later = [f for f in coming if (f.number - frame.number) % every == 0]
            self._see([frame, *later][: self.detector.batch_size])
        found = self._ahead.pop(frame.number)
        known = set(linked(followed, found, self.config.min_overlap).values())
        return [f for j, f in enumerate(found) if j in known or f[1] >= self.min_score]

    def jumped(self) -> None:
        """Nothing: no detection depends on faces before it."""

    def _see(self, batch: list[Frame]) -> None:
        found = self.show([frame.rgb() for frame in batch], self.keep_score)
        for frame, (boxes, scores) in zip(batch, found, strict=True):
            squares = self.detector.house.of(boxes)
            self._ahead[frame.number] = [
                (b, float(s)) for b, s in zip(squares, scores, strict=True)
            ]


class AroundFaces(_Shown):
    """Small windows about followed faces, and the whole picture now and then."""

    def __init__(
        self,
        config: FollowConfig,
        detector: Detector,
        meter: Meter,
        searcher: Detector | None = None,
        scout: Detector | None = None,
    ) -> None:
        super().__init__(config, detector, meter)
        self.searcher, self.scout = searcher, scout
        self._search_next = True

    def last_needed(self, number: int) -> int:
        return number

    def detect(
        self, frame: Frame, followed: Sequence[np.ndarray], coming: Sequence[Frame]
    ) -> list[Detection]:
        config = self.config
        search = self._search_next or frame.number % config.search_every < config.detect_every
        self._search_next = False
        found = distinct([d for box in followed for d in self._near(frame.luma, box)])
        if not search and len(linked(followed, found, config.min_overlap)) == len(followed):
            return found
        if self.scout is not None and not self._is_anybody_new(self.scout, frame.luma, found):
            return found
        new = [
            (box, score)
            for box, score in self._search(frame.luma)
            if all(overlap(box, other) < config.min_overlap for other, _ in found)
        ]
        return found + new

    def jumped(self) -> None:
        self._search_next = True

    def _is_anybody_new(
        self, scout: Detector, luma: np.ndarray, known: Sequence[Detection]
    ) -> bool:
        """Whether the scout sees a face that is none of `known`."""
        boxes, _ = self.show([luma], SCOUT_SCORE, scout)[0]
        return any(
            all(overlap(box, other) <= SCOUT_OVERLAP for other, _ in known)
            for box in scout.house.of(boxes)
        )

    def _search(self, luma: np.ndarray) -> list[Detection]:
        if self.searcher is not None:
            boxes, scores = self.show([luma], self.searcher.min_score, self.searcher)[0]
            return list(zip(self.searcher.house.of(boxes), map(float, scores), strict=True))
        scale = self.config.search_side_px / max(luma.shape)
        found = self._scaled(luma, scale, (0, 0), self.min_score)
        return [(box, score) for box, score in found if score >= self.min_score]

    def _near(self, luma: np.ndarray, box: np.ndarray) -> list[Detection]:
        """The best detection around `box`, in a window twice its size."""
        side = float(max(box[2] - box[0], box[3] - box[1]))
        centre = (box[:2] + box[2:]) / 2
        low = np.maximum(np.floor(centre - side), 0).astype(int)
        high = np.minimum(np.ceil(centre + side), luma.shape[::-1]).astype(int)
        if (high - low < 16).any():
            return []
        window = luma[low[1] : high[1], low[0] : high[0]]
        found = self._scaled(
            window, self.config.face_side_px / side, (low[0], low[1]), self.keep_score
        )
        found = [f for f in found if overlap(f[0], box) >= self.config.min_overlap]
        return [max(found, key=lambda f: f[1])] if found else []

    def _scaled(
        self, luma: np.ndarray, scale: float, origin: tuple[int, int], threshold: float
    ) -> list[Detection]:
        """What is found in a window [H, W] whose corner is at `origin`, shown at `scale`; boxes in
        px of the frame."""
        size = (max(1, round(luma.shape[1] * scale)), max(1, round(luma.shape[0] * scale)))
        shown = cv2.resize(
            luma, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        boxes, scores = self.show([shown], threshold)[0]
        real = np.array([size[0] / luma.shape[1], size[1] / luma.shape[0]] * 2, np.float32)
        offset = np.array([*origin, *origin], np.float32)
        return [
            (box / real + offset, float(score)) for box, score in zip(boxes, scores, strict=True)
        ]


def linked(
    boxes: Sequence[np.ndarray], found: Sequence[Detection], min_overlap: float
) -> dict[int, int]:
    """Index of a followed box -> index of its detection, best overlaps first."""
    pairs = sorted(
        (
            (overlap(box, other), i, j)
            for i, box in enumerate(boxes)
            for j, (other, _) in enumerate(found)
        ),
        key=lambda p: (-p[0], p[1], p[2]),
    )
    links: dict[int, int] = {}
    for value, i, j in pairs:
        if value >= min_overlap and i not in links and j not in links.values():
            links[i] = j
    return links


def distinct(found: list[Detection]) -> list[Detection]:
    """One detection per face, the surest: two windows may have come upon the same one."""
    kept: list[Detection] = []
    for box, score in sorted(found, key=lambda f: -f[1]):
        if all(overlap(box, other) < 0.5 for other, _ in kept):
            kept.append((box, score))
    return kept
