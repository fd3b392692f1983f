"""Faces frame by frame: detect every k-th frame, follow between, never across a jump.

Frames wait in a short buffer until the next detection and until jumps among them are decided.
Then the box of each face is interpolated between its two detections and landmarks are fitted
on every frame.

dlib's detector looks for a face around where it was, at the size it likes; the whole picture is
searched once a second, after a jump, and when a face is lost. Detectors of `whole_picture` see
every k-th frame whole, a batch of such frames at a time, whatever the faces did in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from manifests.records import col
from stages.backends.chips import FaceChips
from stages.face_chips import ChipKeeper
from stages.face_slots import Slot, SlotRows, between, distinct, overlap, thumb_of
from stages.measuring import Meter

DetectorName = Literal["dlib_hog", "s3fd", "retinaface_resnet50", "retinaface_mobilenet", "scrfd",
                       "scrfd_500m", "mediapipe", "yunet"]
LandmarkerName = Literal["dlib_68", "fan_2d", "mediapipe"]


@dataclass(frozen=True)
class FollowConfig:
    """How faces are looked for and held."""

    detector: DetectorName = col("face detector", default="dlib_hog")
    landmarks: LandmarkerName = col("68-point landmarker", default="dlib_68")
    device: Literal["cpu", "cuda"] = col("where the detector runs", default="cpu")
    landmarks_device: Literal["cpu", "cuda"] = col("where the landmarker runs", default="cpu")
    detect_every: int = col("detection interval", "frame", at_least=1, default=5)
    search_every: int = col("interval of a search of the whole picture", "frame",
                            at_least=1, default=25)
    search_side_px: int = col("longer side of a searched picture", "px", at_least=64, default=720)
    face_side_px: int = col("size a followed face is shown to the detector in", "px", at_least=32,
                            default=110)
    min_score: float | None = col("detector score of a new face; null: the detector's own",
                                  default=None)
    keep_score: float | None = col("detector score that keeps a face; null: the detector's own",
                                   default=None)
    min_overlap: float = col("intersection over union that links detections", at_least=0, at_most=1,
                             default=0.3)
    min_similarity: float = col("correlation of a face with itself one frame before",
                                at_least=-1, at_most=1, default=0.5)
    chip_every: int = col("longest interval of face chips for identity", "frame", at_least=1,
                          default=50)


class FaceFollower:
    """Call `push` with each frame in order, `advance` when jumps are known, `finish` at the end,
    and `take` whenever there may be something to take."""

    def __init__(self, config: FollowConfig, detector: Any, landmarker: Any,
                 make_chip: Callable[[np.ndarray, np.ndarray], FaceChips],
                 meter: Meter | None = None) -> None:
        self.config, self.detector, self.landmarker = config, detector, landmarker
        self.make_chip, self.meter = make_chip, meter or Meter()
        self.done: list[Slot] = []
        self._active: list[Slot] = []
        self._buffer: list[tuple[int, np.ndarray, Any]] = []
        self._at = -1
        self._number = 0
        self._search_next = True
        self._ahead: dict[int, list[tuple[np.ndarray, float]]] = {}
        """Frame -> detections that were made in one batch with an earlier frame's."""
        self.min_score = detector.min_score if config.min_score is None else config.min_score
        self.keep_score = detector.keep_score if config.keep_score is None else config.keep_score

    def push(self, frame: int, luma: np.ndarray, rgb: Callable[[], np.ndarray]) -> None:
        """`luma` uint8 [H, W]; `rgb` gives the same picture in colour when asked."""
        self._buffer.append((frame, luma, rgb))

    @property
    def next_detection(self) -> int:
        return 0 if self._at < 0 else self._at + self.config.detect_every

    @property
    def is_ready(self) -> bool:
        """Enough frames wait for a full batch of detections, or it is already made."""
        wanted = self.next_detection
        if wanted in self._ahead:
            return True
        more = (self.detector.batch_size - 1) * self.config.detect_every
        return bool(self._buffer) and self._buffer[-1][0] >= wanted + more

    def advance(self, jumps: list[int], is_last: bool = False) -> None:
        """Process the buffer up to the next detection frame."""
        last = self._buffer[-1][0]
        target = min(self.next_detection, last) if is_last else self.next_detection
        batch = [entry for entry in self._buffer if entry[0] <= target]
        self._buffer = [entry for entry in self._buffer if entry[0] > target]
        if not batch:
            return
        cuts = [c for c in jumps if self._at < c <= target]
        if cuts:
            before = [e for e in batch if e[0] < cuts[0]]
            self._hold(before)
            self._close_all()
            batch = [e for e in batch if e[0] >= cuts[-1]]
            self._search_next = True
        self._detect(batch, backfill=bool(cuts))
        self._at = target

    def finish(self, jumps: list[int]) -> None:
        """Process what waits, once the last frame was pushed."""
        while self._buffer:
            self.advance(jumps, is_last=True)
        self._close_all()

    def take(self) -> list[SlotRows]:
        """What is known of all faces and was not taken before, in the order of slots."""
        slots = sorted([*self.done, *self._active], key=lambda slot: slot.number)
        self.done = []
        taken = [slot.take() for slot in slots]
        return [rows for rows in taken if rows.frames or rows.chips]

    def _close_all(self) -> None:
        for slot in self._active:
            self._close(slot)
        self._active = []

    def _close(self, slot: Slot) -> None:
        slot.keeper.close()
        slot.mouths += slot.cropper.finish()
        slot.thumb = None
        self.done.append(slot)

    def _hold(self, entries: list) -> None:
        """Frames between the last detection and a jump: the box stays where it was."""
        for slot in list(self._active):
            for entry in entries:
                if not self._add(slot, entry, slot.box, slot.score):
                    break

    def _detect(self, batch: list, backfill: bool) -> None:
        if self.detector.whole_picture:
            found = self._seen_whole(batch[-1])
            known = set(self._link(found).values())
            found = [f for j, f in enumerate(found) if j in known or f[1] >= self.min_score]
            self._follow(batch, found, self._link(found), backfill)
            return
        frame, luma, _ = batch[-1]
        search = self._search_next or frame % self.config.search_every < self.config.detect_every
        self._search_next = False
        found: list[tuple[np.ndarray, float]] = []
        for slot in self._active:
            found += self._near(luma, slot.box)
        found = distinct(found)
        links = self._link(found)
        if search or (len(links) < len(self._active)):
            known = [box for box, _ in found]
            for box, score in self._search(luma):
                if score >= self.min_score and all(
                    overlap(box, other) < self.config.min_overlap for other in known
                ):
                    found.append((box, score))
            links = self._link(found)
        self._follow(batch, found, links, backfill)

    def _link(self, found: list[tuple[np.ndarray, float]]) -> dict[int, int]:
        """Slot index -> detection index, best overlaps first."""
        pairs = sorted(
            ((overlap(slot.box, box), i, j) for i, slot in enumerate(self._active)
             for j, (box, _) in enumerate(found)), key=lambda p: (-p[0], p[1], p[2]))
        links: dict[int, int] = {}
        for value, i, j in pairs:
            if value >= self.config.min_overlap and i not in links and j not in links.values():
                links[i] = j
        return links

    def _seen_whole(self, entry) -> list[tuple[np.ndarray, float]]:
        """Detections in one frame, made together with those of the frames that follow."""
        if entry[0] not in self._ahead:
            every = self.config.detect_every
            batch = [entry, *(e for e in self._buffer if (e[0] - entry[0]) % every == 0)]
            batch = batch[:self.detector.batch_size]
            self.detector.threshold = self.keep_score
            found = self._shown([rgb() for _, _, rgb in batch])
            for (frame, _, _), (boxes, scores) in zip(batch, found, strict=True):
                squares = self.detector.house.of(boxes)
                self._ahead[frame] = [(b, float(s)) for b, s in zip(squares, scores, strict=True)]
        return self._ahead.pop(entry[0])

    def _fitted(self, batch, ends: dict[int, np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
        """Points by slot index and step, for landmarkers that take many faces at a time."""
        if not (self.landmarker.batched and ends):
            return {}
        pictures = [rgb() if self.landmarker.in_colour else luma for _, luma, rgb in batch]
        keys = [(i, step) for i in ends for step in range(len(batch))]
        boxes = [between(self._active[i].box, ends[i], step, len(batch)) for i, step in keys]
        with self.meter.timed("landmarker", len(keys), self.landmarker):
            points = self.landmarker.fit_many([pictures[step] for _, step in keys],
                                              np.stack(boxes))
        return dict(zip(keys, points, strict=True))

    def _follow(self, batch, found, links, backfill) -> None:
        alive = []
        fitted = self._fitted(batch, {i: found[j][0] for i, j in links.items()})
        for i, slot in enumerate(self._active):
            if i not in links:
                self._close(slot)
                continue
            box, score = found[links[i]]
            start, ok = slot.box, True
            for step, entry in enumerate(batch, 1):
                share = step / len(batch)
                ok = self._add(slot, entry, between(start, box, step - 1, len(batch)),
                               (1 - share) * slot.score + share * score,
                               fitted.get((i, step - 1)))
                if not ok:
                    break
            if ok:
                slot.box, slot.score = box, score
                alive.append(slot)
            else:  # another picture under the same box: what comes now is a new face
                self._close(slot)
                fresh = self._new(box, score)
                for later in batch[step - 1:]:
                    self._add(fresh, later, box, score)
                alive.append(fresh)
        used = set(links.values())
        for j, (box, score) in enumerate(found):
            if j in used or any(overlap(box, s.box) > 0.5 for s in alive):
                continue
            slot = self._new(box, score)
            for entry in batch if backfill else batch[-1:]:
                self._add(slot, entry, box, score)
            alive.append(slot)
        self._active = alive

    def _new(self, box: np.ndarray, score: float) -> Slot:
        self._number += 1
        keeper = ChipKeeper(self.make_chip, self.config.chip_every, self.config.detect_every)
        return Slot(self._number - 1, box, score, keeper)

    def _add(self, slot: Slot, entry, box: np.ndarray, score: float,
             points: np.ndarray | None = None) -> bool:
        """Fit and keep one frame; False if the face is not the one of the frame before.

        A frame in which nothing fits is left out: the face is there and not observed.
        """
        frame, luma, rgb = entry
        thumb = thumb_of(luma, box)
        if slot.thumb is not None and float((thumb * slot.thumb).sum()) < (
            self.config.min_similarity
        ):
            return False
        slot.thumb = thumb
        if points is None:
            picture = rgb() if self.landmarker.in_colour else luma
            with self.meter.timed("landmarker", 1, self.landmarker):
                points = self.landmarker.fit(picture, box[None])[0]
        if not np.isfinite(points).all():
            return True
        slot.keeper.offer(frame, luma, rgb, points)
        slot.mouths += slot.cropper.push(luma, points)
        slot.frames.append(frame)
        slot.boxes.append(box)
        slot.points.append(points)
        slot.scores.append(score)
        return True

    def _shown(self, pictures: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        with self.meter.timed("detector", len(pictures), self.detector):
            return self.detector.detect(pictures)

    def _search(self, luma: np.ndarray) -> list[tuple[np.ndarray, float]]:
        scale = self.config.search_side_px / max(luma.shape)
        return self._run(luma, scale, (0, 0), self.min_score)

    def _near(self, luma: np.ndarray, box: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """The best detection around `box`, in a window twice its size."""
        side = float(max(box[2] - box[0], box[3] - box[1]))
        centre = (box[:2] + box[2:]) / 2
        low = np.maximum(np.floor(centre - side), 0).astype(int)
        high = np.minimum(np.ceil(centre + side), luma.shape[::-1]).astype(int)
        if (high - low < 16).any():
            return []
        window = luma[low[1]:high[1], low[0]:high[0]]
        found = self._run(window, self.config.face_side_px / side, tuple(low),
                          self.keep_score)
        found = [f for f in found if overlap(f[0], box) >= self.config.min_overlap]
        return [max(found, key=lambda f: f[1])] if found else []

    def _run(self, luma, scale: float, origin, threshold: float):
        self.detector.threshold = threshold
        size = (max(1, round(luma.shape[1] * scale)), max(1, round(luma.shape[0] * scale)))
        shown = cv2.resize(luma, size, interpolation=cv2.INTER_AREA if scale < 1
                           else cv2.INTER_LINEAR)
        boxes, scores = self._shown([shown])[0]
        real = np.array([size[0] / luma.shape[1], size[1] / luma.shape[0]] * 2, np.float32)
        offset = np.array([*origin, *origin], np.float32)
        return [(box / real + offset, float(score))
                for box, score in zip(boxes, scores, strict=True)]
