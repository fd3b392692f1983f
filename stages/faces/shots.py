"""Shots, faces and landmarks in one decode pass over a video.

Side file `shots/{video_id}-*.npz`, in pieces (`stages.faces.side_file`): one row per face and frame
in `frame` int32 [N], `slot` int32 [N], `boxes` float32 [N, 4] xyxy and `landmarks` float32
[N, 68, 2] in source display pixels, `score` float32 [N], `mouths` uint8 [N, 40, 48]
(`stages.faces.mouths`); face chips in `chips` uint8 [M, 150, 150, 3] and `aligned` uint8
[M, 112, 112, 3] (`backends.chips`) with `chip_frame` and `chip_slot` int32 [M], and
`chip_likeness` float32 [M], 1 for chips taken regularly, below for those taken because the face
looked unlike itself (`chip_keeper`). A tracklet (`slot` there) is an unbroken run of one face;
`tracks` joins tracklets into tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from manifests.arrays import npz_writer
from manifests.ids import shot_id
from manifests.media.pictures import in_runs, iter_pictures, resolve, whole_side
from manifests.media.times import decode_cpu_s
from manifests.records import Hint, Reject, Shot, Video, col
from stages.backends import registry
from stages.backends.protocols import Detector
from stages.backends.yunet import YuNet
from stages.base import Context, Resources, Stage
from stages.cost_meter import Meter
from stages.faces.chips import face_chips
from stages.faces.cuts import SMALL_PX, CutConfig, CutFinder
from stages.faces.detection import SCOUT_SIDE_PX, FollowConfig
from stages.faces.following import FaceFollower
from stages.faces.side_file import FaceRowsWriter
from stages.hints import windows_of

TAKE_EVERY = 500
"""Frames after which what is known of faces goes from memory towards the side file."""


@dataclass(frozen=True)
class ShotsConfig:
    """The pass over every frame."""

    cuts: CutConfig = field(default_factory=CutConfig)
    faces: FollowConfig = field(default_factory=FollowConfig)
    max_side_px: int = col(
        "longer side of the pictures looked at, which is the nearest whole part of the video's own",
        "px",
        at_least=64,
        default=960,
    )
    guard_frames: int = col("frames left out at each cut", "frame", at_least=0, default=1)


class Shots(Stage[Video, Shot]):
    """One video -> its shots, and a side file with every face of every frame."""

    name = "shots"
    version = 10
    reasons = frozenset({"no_frames", "hints_outside"})
    resources = Resources(memory_gb=6.0, timeout_s=300.0)
    reads_media = True
    side_folder = "shots"

    @classmethod
    def devices(cls, config: ShotsConfig) -> dict[str, str]:
        return {
            "faces.device": config.faces.device,
            "faces.landmarks_device": config.faces.landmarks_device,
        }

    @classmethod
    def check_here(cls, config: ShotsConfig) -> None:
        registry.check_at_hand(registry.DETECTORS, config.faces.detector)
        registry.check_at_hand(registry.LANDMARKERS, config.faces.landmarks)
        if config.faces.search_with != "detector":
            registry.check_at_hand(registry.DETECTORS, config.faces.search_with)
        if _has_scout(config.faces):
            registry.check_at_hand(registry.DETECTORS, config.faces.scout)

    def setup(self) -> None:
        faces = self.config.faces
        if self.sharing is None:
            self.detector = registry.make(registry.DETECTORS, faces.detector, device=faces.device)
            self.landmarker = registry.make(
                registry.LANDMARKERS, faces.landmarks, device=faces.landmarks_device
            )
        else:
            self.detector = self.sharing.detector(faces.detector, faces.device)
            self.landmarker = self.sharing.landmarker(faces.landmarks, faces.landmarks_device)
        self.searcher: Detector | None = None
        if faces.search_with != "detector" and not self.detector.whole_picture:
            self.searcher = registry.make(registry.DETECTORS, faces.search_with)
            self.searcher.setup()
        self.scout: Detector | None = None
        if _has_scout(faces) and not self.detector.whole_picture:
            self.scout = YuNet(side_px=SCOUT_SIDE_PX)
            self.scout.setup()
        self.detector.setup()
        self.landmarker.setup()

    def fingerprint(self) -> dict[str, str]:
        faces = self.config.faces
        made_of = {
            "detector": registry.fingerprint(registry.DETECTORS, faces.detector),
            "landmarks": registry.fingerprint(registry.LANDMARKERS, faces.landmarks),
        }
        if faces.search_with != "detector":
            made_of["search"] = registry.fingerprint(registry.DETECTORS, faces.search_with)
        if _has_scout(faces):
            made_of["scout"] = registry.fingerprint(registry.DETECTORS, faces.scout)
        return made_of

    def process(self, batch: Sequence[Video], context: Context) -> list[list[Shot] | Reject]:
        with nullcontext() if self.sharing is None else self.sharing.video():
            return [self._one(video, context) for video in batch]

    def _one(self, video: Video, context: Context) -> list[Shot] | Reject:
        windows = windows_of(context.hints, video) if context.hints else [(0, video.num_frames)]
        if not windows:
            return _all_outside(context.hints, video)
        path = context.side_path(self.side_folder, video.video_id, ".npz")
        spans: list[tuple[int, int]] = []
        decoding = decode_cpu_s()
        with npz_writer(path) as out:
            rows, numbers = FaceRowsWriter(out), 0
            for start, end in windows:
                cuts, num_frames, numbers = self._follow(
                    video, (start, end), context, rows, numbers
                )
                edges = [start, *(start + cut for cut in cuts), end]
                spans += zip(edges, edges[1:], strict=False) if num_frames else ()
            rows.flush()
        context.measured["decode_cpu_s"] = decode_cpu_s() - decoding
        if not spans:
            path.unlink()
            return Reject("no_frames", 0, 1, "no frame could be decoded")
        frames = np.array(rows.frames, int)
        return [
            Shot(
                shot_id(video.video_id, i),
                video.video_id,
                start,
                end,
                self.config.guard_frames,
                str(path.relative_to(context.work)),
                int(((frames >= start) & (frames < end)).sum()),
            )
            for i, (start, end) in enumerate(spans)
        ]

    def _follow(
        self,
        video: Video,
        window: tuple[int, int],
        context: Context,
        rows: FaceRowsWriter,
        numbers: int,
    ) -> tuple[list[int], int, int]:
        """The cuts of a window, counted from its start, how many frames there were, and the next
        free number of a tracklet; faces go to `rows` as they are known."""
        cuts = CutFinder(self.config.cuts)
        follower = FaceFollower(
            self.config.faces,
            self.detector,
            self.landmarker,
            face_chips,
            cuts,
            Meter(context.measured),
            self.searcher,
            self.scout,
        )
        side, scale = whole_side(video, self.config.max_side_px), 1.0
        last, free = -1, numbers
        shown = None

        def take() -> None:
            nonlocal free
            taken = follower.take()
            for part in taken:
                part.move(window[0], numbers)
                free = max(free, part.number + 1)
            rows.push(taken, scale)

        path = resolve(video.media_path, context.work)
        for frame, picture in in_runs(iter_pictures(video, path, *window), video):
            if shown is not picture:
                shown = picture
                luma, small_luma = picture.luma(side), picture.luma(SMALL_PX)
                small_rgb = picture.small_rgb(SMALL_PX)
                scale = video.width_px / luma.shape[1]
            last = frame - window[0]
            cuts.push(last, small_rgb, small_luma)
            follower.push(last, luma, partial(picture.rgb, side))
            if frame % TAKE_EVERY == 0:
                take()
        if last < 0:
            return [], 0, free
        found = cuts.finish()
        follower.finish()
        take()
        return found, last + 1, free


def _has_scout(faces: FollowConfig) -> bool:
    """A scout spares dlib its searches; YuNet's own cost no more than the look."""
    return faces.scout != "none" and faces.search_with == "detector"


def _all_outside(hints: Sequence[Hint], video: Video) -> Reject:
    """What was promised is not in this file: another cut of the video, or a list of another one."""
    first = min(hint.start_s or 0.0 for hint in hints)
    length_s = video.duration_us / 1e6
    return Reject(
        "hints_outside",
        length_s,
        first,
        f"the spans that its corpus names begin at {first:.2f} s, the video ends at "
        f"{length_s:.2f} s",
    )
