"""Shots, faces and landmarks in one decode pass over a video.

Side file `shots/{video_id}-*.npz`: one row per face and frame in `frame` int32 [N], `slot`
int32 [N], `boxes` float32 [N, 4] xyxy and `landmarks` float32 [N, 68, 2] in source display
pixels, `score` float32 [N], `mouths` uint8 [N, 40, 48] (`stages.mouths`); face chips in `chips`
uint8 [M, 150, 150, 3] and `aligned` uint8 [M, 112, 112, 3] (`backends.chips`) with `chip_frame`
and `chip_slot` int32 [M], and `chip_likeness` float32 [M], 1 for chips taken regularly, below
for those taken because the face looked unlike itself (`face_chips`). A slot is an unbroken run
of one face; `tracks` joins slots into tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np

from manifests.arrays import save_npz
from manifests.ids import shot_id
from manifests.media import iter_pictures, resolve
from manifests.records import Reject, Shot, Video, col
from stages.backends import registry
from stages.backends.chips import CHIP_SHAPES, face_chips
from stages.base import Context, Resources, Stage
from stages.face_following import FaceFollower, FollowConfig
from stages.face_slots import Slot
from stages.measuring import Meter
from stages.networks.lipsync_features import MOUTH_SHAPE
from stages.shot_detection import SMALL_PX, CutConfig, CutFinder


@dataclass(frozen=True)
class ShotsConfig:
    """The pass over every frame."""

    cuts: CutConfig = field(default_factory=CutConfig)
    faces: FollowConfig = field(default_factory=FollowConfig)
    max_side_px: int = col("longer side of the pictures looked at", "px", default=960)
    guard_frames: int = col("frames left out at each cut", "frame", default=1)


class Shots(Stage[Video, Shot]):
    """One video -> its shots, and a side file with every face of every frame."""

    name = "shots"
    version = 6
    reasons = frozenset({"no_frames"})
    resources = Resources(memory_gb=6.0, timeout_s=300.0)

    def setup(self) -> None:
        faces = self.config.faces
        if self.sharing is None:
            self.detector = registry.make(registry.DETECTORS, faces.detector, device=faces.device)
            self.landmarker = registry.make(registry.LANDMARKERS, faces.landmarks,
                                            device=faces.landmarks_device)
        else:
            self.detector = self.sharing.detector(faces.detector, faces.device)
            self.landmarker = self.sharing.landmarker(faces.landmarks, faces.landmarks_device)
        self.detector.setup()
        self.landmarker.setup()

    def fingerprint(self) -> dict[str, str]:
        faces = self.config.faces
        return {"detector": registry.fingerprint(registry.DETECTORS, faces.detector),
                "landmarks": registry.fingerprint(registry.LANDMARKERS, faces.landmarks)}

    def process(self, batch: Sequence[Video], context: Context) -> list[list[Shot] | Reject]:
        with nullcontext() if self.sharing is None else self.sharing.video():
            return [self._one(video, context) for video in batch]

    def _one(self, video: Video, context: Context) -> list[Shot] | Reject:
        cuts = CutFinder(self.config.cuts)
        follower = FaceFollower(self.config.faces, self.detector, self.landmarker, face_chips,
                                Meter(context.measured))
        side, scale, last = self.config.max_side_px, 1.0, -1
        shown = None
        for frame, picture in iter_pictures(video, resolve(video.media_path, context.work)):
            if shown is not picture:
                shown = picture
                luma, small_luma = picture.luma(side), picture.luma(SMALL_PX)
                small_rgb = picture.rgb(SMALL_PX)
                scale = video.width_px / luma.shape[1]
            cuts.push(frame, small_rgb, small_luma)
            follower.push(frame, luma, lambda p=picture: p.rgb(side))
            while follower.is_ready and cuts.known_until(follower.next_detection):
                follower.advance(cuts.jumps)
            last = frame
        if last < 0:
            return Reject("no_frames", 0, 1, "no frame could be decoded")
        found = cuts.finish()
        slots = follower.finish(cuts.jumps)
        path = context.side_path("shots", video.video_id, ".npz")
        save_npz(path, _arrays(slots, scale))
        edges = [0, *found, video.num_frames]
        frames = np.concatenate([s.frames for s in slots]) if slots else np.zeros(0, int)
        return [
            Shot(shot_id(video.video_id, i), video.video_id, start, end,
                 self.config.guard_frames, str(path.relative_to(context.work)),
                 int(((frames >= start) & (frames < end)).sum()))
            for i, (start, end) in enumerate(zip(edges, edges[1:], strict=False))
        ]


def _arrays(slots: list[Slot], scale: float) -> dict[str, np.ndarray]:
    """The side file's arrays; `scale` takes the pictures looked at to source pixels."""
    def joined(values: list, shape: tuple[int, ...], kind: type) -> np.ndarray:
        return np.array(values, kind).reshape(-1, *shape)

    chips = [(slot.number, *chip) for slot in slots for chip in slot.keeper.chips]
    return {
        "frame": joined([f for s in slots for f in s.frames], (), np.int32),
        "slot": joined([s.number for s in slots for _ in s.frames], (), np.int32),
        "boxes": joined([b for s in slots for b in s.boxes], (4,), np.float32) * scale,
        "landmarks": joined([p for s in slots for p in s.points], (68, 2), np.float32) * scale,
        "score": joined([v for s in slots for v in s.scores], (), np.float32),
        "mouths": joined([m for s in slots for m in s.mouths], MOUTH_SHAPE, np.uint8),
        **{name: joined([getattr(c, name) for _, _, c, _ in chips], shape, np.uint8)
           for name, shape in CHIP_SHAPES.items()},
        "chip_frame": joined([f for _, f, _, _ in chips], (), np.int32),
        "chip_slot": joined([n for n, _, _, _ in chips], (), np.int32),
        "chip_likeness": joined([v for _, _, _, v in chips], (), np.float32),
    }
