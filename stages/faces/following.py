"""Faces frame by frame: detected in every k-th frame, followed between, never across a jump.

Frames wait in a short buffer until the next detection (`detection`) and until jumps among
them are decided. Then the box of each face is interpolated between its two detections and
landmarks are fitted on every frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from stages.backends.boxes import overlap
from stages.backends.protocols import Detector
from stages.cost_meter import Meter
from stages.faces.chip_keeper import ChipKeeper
from stages.faces.chips import FaceChips
from stages.faces.detection import Detection, FollowConfig, Frame, frame_detector, linked
from stages.faces.tracklets import Tracklet, TrackletRows, between, thumb_of


class Jumps(Protocol):
    """Where the picture becomes another one, as far as that is known (`CutFinder`)."""

    jumps: list[int]
    """First frames of what is new, in order."""

    def known_until(self, frame: int) -> bool:
        """Whether jumps up to and including `frame` are decided."""
        ...


class Unfitted(NamedTuple):
    """A face in a frame, as `_add` is told."""

    tracklet: Tracklet
    frame: Frame
    box: np.ndarray
    score: float


class FaceFollower:
    """`push` every frame in order, then `finish`, once `jumps` has seen the same; `take` the
    faces whenever it suits: what is taken is no longer held here."""

    def __init__(
        self,
        config: FollowConfig,
        detector: Detector,
        landmarker: Any,
        make_chip: Callable[[np.ndarray, np.ndarray], FaceChips],
        jumps: Jumps,
        meter: Meter | None = None,
        searcher: Detector | None = None,
        scout: Detector | None = None,
    ) -> None:
        self.config, self.landmarker, self.make_chip = config, landmarker, make_chip
        self.jumps, self.meter = jumps, meter or Meter()
        self._detector = frame_detector(config, detector, self.meter, searcher, scout)
        self._waiting: list[Frame] = []
        self._active: list[Tracklet] = []
        self._closed: list[Tracklet] = []
        self._at = -1
        """The frame of the last detection."""
        self._number = 0
        self._unfitted: list[Unfitted] = []
        """Faces without points yet, for a landmarker that wants many at a time."""

    def push(self, number: int, luma: np.ndarray, rgb: Callable[[], np.ndarray]) -> None:
        """`luma` uint8 [H, W]; `rgb` gives the same picture in colour when asked."""
        self._waiting.append(Frame(number, luma, rgb))
        while self._is_ready():
            self._advance(self._next())

    def finish(self) -> None:
        """The last frame was pushed, and all jumps are known."""
        while self._waiting:
            self._advance(min(self._next(), self._waiting[-1].number))
        self._close_all()

    def take(self) -> list[TrackletRows]:
        """What is known of all faces and was not taken before, in the order of tracklets."""
        self._fit_gathered()
        tracklets = sorted([*self._closed, *self._active], key=lambda tracklet: tracklet.number)
        self._closed = []
        taken = [tracklet.take() for tracklet in tracklets]
        return [rows for rows in taken if rows.frames or rows.chips]

    def _next(self) -> int:
        """The frame of the next detection."""
        return 0 if self._at < 0 else self._at + self.config.detect_every

    def _is_ready(self) -> bool:
        """The frames that the next detection needs wait, and the jumps up to it are known."""
        wanted = self._next()
        return (
            bool(self._waiting)
            and self._waiting[-1].number >= self._detector.last_needed(wanted)
            and self.jumps.known_until(wanted)
        )

    def _advance(self, target: int) -> None:
        """Detect in frame `target`, and follow faces through the frames up to it."""
        batch = [frame for frame in self._waiting if frame.number <= target]
        self._waiting = [frame for frame in self._waiting if frame.number > target]
        if not batch:
            return
        jumps = [jump for jump in self.jumps.jumps if self._at < jump <= target]
        if jumps:
            self._hold([frame for frame in batch if frame.number < jumps[0]])
            self._close_all()
            batch = [frame for frame in batch if frame.number >= jumps[-1]]
            self._detector.jumped()
        boxes = [tracklet.box for tracklet in self._active]
        found = self._detector.detect(batch[-1], boxes, self._waiting)
        links = linked(boxes, found, self.config.min_overlap)
        alive = self._follow(batch, found, links)
        unseen = [d for j, d in enumerate(found) if j not in links.values()]
        # After a jump a face was there from the first frame on; else it came by and by.
        self._begin(alive, unseen, batch if jumps else batch[-1:])
        self._active = alive
        self._at = target

    def _hold(self, frames: Sequence[Frame]) -> None:
        """Frames between the last detection and a jump: the box stays where it was."""
        for tracklet in self._active:
            for frame in frames:
                if not self._add(tracklet, frame, tracklet.box, tracklet.score):
                    break

    def _follow(
        self, batch: Sequence[Frame], found: Sequence[Detection], links: Mapping[int, int]
    ) -> list[Tracklet]:
        """Take faces to their detections; those that go on, or begin in another's place."""
        alive = []
        fitted = self._fitted(batch, {i: found[j][0] for i, j in links.items()})
        for i, tracklet in enumerate(self._active):
            if i not in links:
                self._close(tracklet)
                continue
            box, score = found[links[i]]
            lost = self._lost_at(
                tracklet, batch, box, score, [fitted.get((i, step)) for step in range(len(batch))]
            )
            if lost is None:
                tracklet.box, tracklet.score = box, score
                alive.append(tracklet)
            else:  # another picture under the same box: what comes now is a new face
                self._close(tracklet)
                fresh = self._new(box, score)
                for later in batch[lost:]:
                    self._add(fresh, later, box, score)
                alive.append(fresh)
        return alive

    def _lost_at(
        self,
        tracklet: Tracklet,
        batch: Sequence[Frame],
        box: np.ndarray,
        score: float,
        fitted: Sequence[np.ndarray | None],
    ) -> int | None:
        """The step of `batch` at which `slot`, on its way to `box`, is no longer the same face."""
        start = tracklet.box
        for step, frame in enumerate(batch):
            share = (step + 1) / len(batch)
            if not self._add(
                tracklet,
                frame,
                between(start, box, step, len(batch)),
                (1 - share) * tracklet.score + share * score,
                fitted[step],
            ):
                return step
        return None

    def _begin(
        self, alive: list[Tracklet], found: Sequence[Detection], frames: Sequence[Frame]
    ) -> None:
        """New faces for detections that no face of `alive` covers, from `frames` on."""
        for box, score in found:
            if any(overlap(box, tracklet.box) > 0.5 for tracklet in alive):
                continue
            tracklet = self._new(box, score)
            for frame in frames:
                self._add(tracklet, frame, box, score)
            alive.append(tracklet)

    def _fitted(
        self, batch: Sequence[Frame], ends: Mapping[int, np.ndarray]
    ) -> dict[tuple[int, int], np.ndarray]:
        """Points by tracklet index and step, for landmarkers that take many faces at a time."""
        if not (self.landmarker.batched and ends):
            return {}
        pictures = [f.rgb() if self.landmarker.in_colour else f.luma for f in batch]
        keys = [(i, step) for i in ends for step in range(len(batch))]
        boxes = [between(self._active[i].box, ends[i], step, len(batch)) for i, step in keys]
        with self.meter.timed("landmarker", len(keys), self.landmarker):
            points = self.landmarker.fit_many([pictures[step] for _, step in keys], np.stack(boxes))
        return dict(zip(keys, points, strict=True))

    def _add(
        self,
        tracklet: Tracklet,
        frame: Frame,
        box: np.ndarray,
        score: float,
        points: np.ndarray | None = None,
    ) -> bool:
        """Fit and keep one frame; False if the face is not the one of the frame before.

        A frame in which nothing fits is left out: the face is there and not observed.
        """
        thumb = thumb_of(frame.luma, box)
        if tracklet.thumb is not None and float((thumb * tracklet.thumb).sum()) < (
            self.config.min_similarity
        ):
            return False
        tracklet.thumb = thumb
        if points is None and self.landmarker.gathered > 1:
            self._unfitted.append(Unfitted(tracklet, frame, box, score))
            if len(self._unfitted) >= self.landmarker.gathered:
                self._fit_gathered()
            return True
        if points is None:
            picture = frame.rgb() if self.landmarker.in_colour else frame.luma
            with self.meter.timed("landmarker", 1, self.landmarker):
                points = self.landmarker.fit(picture, box[None])[0]
        self._keep(Unfitted(tracklet, frame, box, score), points)
        return True

    def _fit_gathered(self) -> None:
        """Give all faces their points that have none."""
        faces, self._unfitted = self._unfitted, []
        if not faces:
            return
        in_colour = self.landmarker.in_colour
        pictures = [f.frame.rgb() if in_colour else f.frame.luma for f in faces]
        with self.meter.timed("landmarker", len(faces), self.landmarker):
            points = self.landmarker.fit_many(pictures, np.stack([f.box for f in faces]))
        for face, own in zip(faces, points, strict=True):
            self._keep(face, own)

    @staticmethod
    def _keep(face: Unfitted, points: np.ndarray) -> None:
        """Add the frame to its tracklet, unless nothing fitted."""
        tracklet, frame, box, score = face
        if not np.isfinite(points).all():
            return
        tracklet.keeper.offer(frame.number, frame.luma, frame.rgb, points)
        tracklet.mouths += tracklet.cropper.push(frame.luma, points)
        tracklet.frames.append(frame.number)
        tracklet.boxes.append(box)
        tracklet.points.append(points)
        tracklet.scores.append(score)

    def _new(self, box: np.ndarray, score: float) -> Tracklet:
        self._number += 1
        keeper = ChipKeeper(self.make_chip, self.config.chip_every, self.config.detect_every)
        return Tracklet(self._number - 1, box, score, keeper)

    def _close(self, tracklet: Tracklet) -> None:
        self._fit_gathered()
        tracklet.keeper.close()
        tracklet.mouths += tracklet.cropper.finish()
        tracklet.thumb = None
        self._closed.append(tracklet)

    def _close_all(self) -> None:
        for tracklet in self._active:
            self._close(tracklet)
        self._active = []
