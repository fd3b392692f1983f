"""A corpus without media: stages that make records of the usual shape and nothing else, for what a
run costs beside its stages.

Each video gives one shot, one track, one identity, one offset and `CLIPS_PER_VIDEO` clips, each
with a side file of a few bytes. Ten videos show one person.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manifests import records as rec
from manifests.shards import ShardSample, write_samples
from pipeline.graph import Node
from stages.base import Context, Stage

CLIPS_PER_VIDEO, VIDEOS_PER_PERSON, CLIP_FRAMES = 10, 10, 75


class _Made(Stage[Any, Any]):
    def process(self, batch: Sequence[Any], context: Context) -> list[list[Any]]:
        return [self.made(record, context) for record in batch]

    def made(self, record: Any, context: Context) -> list[Any]:
        raise NotImplementedError


class Expand(_Made):
    name = "expand"

    def made(self, record: rec.Request, context: Context) -> list[Any]:
        source = f"s{record.request_id[1:]}"
        return [rec.Source(source, record.request_id, record.address, "file", "simulated")]


class Download(_Made):
    name = "download"
    fetches_media = True
    side_folder = "media"

    def made(self, record: rec.Source, context: Context) -> list[Any]:
        digest, path = hashlib.sha256(record.address.encode()).hexdigest(), record.address
        where = (record.source_id, f"f{digest[:20]}", path, digest, 10**6)
        return [rec.Fetched(*where, path, "file", "simulated")]


class Probe(_Made):
    name = "probe"

    def made(self, record: rec.Fetched, context: Context) -> list[Any]:
        frames = CLIPS_PER_VIDEO * CLIP_FRAMES
        return [
            rec.Video(
                record.video_id,
                record.media_path,
                record.sha256,
                *("mov", "h264", "aac", 0, 1, 1, None, 1280, 720, 0, "1:1", "yuv420p", False),
                *("25", False, 0, 0, 0, 0.0, 40_000 * frames, frames, "25"),
            )
        ]


class Shots(_Made):
    name = "shots"
    side_folder = "shots"

    def made(self, record: rec.Video, context: Context) -> list[Any]:
        shot, frames = f"{record.video_id}-s000", record.num_frames
        path = context.side_path("shots", record.video_id, ".npz")
        path.write_bytes(b"faces")
        name = path.relative_to(context.work).as_posix()
        return [rec.Shot(shot, record.video_id, 0, frames, 2, name, frames)]


class Tracks(_Made):
    name = "tracks"

    def made(self, record: rec.Shot, context: Context) -> list[Any]:
        where = (f"{record.shot_id}-t000", record.shot_id, record.video_id)
        span = (record.start_frame, record.end_frame)
        return [rec.Track(*where, *span, "", 0, 180.0, 60.5, 210.25, 3.5, -2.25, 0.75, 0.98)]


class Identity(_Made):
    name = "identity"

    def made(self, record: rec.Track, context: Context) -> list[Any]:
        number = int(Path(context.the_video().media_path).stem)
        person = np.random.default_rng([1, number // VIDEOS_PER_PERSON])
        face = person.standard_normal(128) * 0.06
        noise = np.random.default_rng(number).standard_normal(128) * 0.012
        embedding = [float(x) for x in (face + noise).astype(np.float32)]
        return [
            rec.Identity(
                record.track_id, record.video_id, record.shot_id, "dlib_resnet-1", embedding, 5
            )
        ]


class Sync(_Made):
    name = "sync"

    def made(self, record: rec.Identity, context: Context) -> list[Any]:
        where = (record.track_id, record.video_id, record.shot_id, "track", "measured")
        starts = list(range(0, CLIPS_PER_VIDEO * CLIP_FRAMES, CLIP_FRAMES))
        windows: Any = (starts, [-12.5] * len(starts), [0.61] * len(starts), [0], [starts[-1]])
        told: Any = (-12.5, None, 0.97, 0.61, "lipsync-3", 700.0, 0.91, 0.8)
        return [rec.Offset(*where, *told, *windows)]


class Clips(_Made):
    name = "clips"
    side_folder = "clips"

    def made(self, record: rec.Offset, context: Context) -> list[Any]:
        (context.work / "clips").mkdir(parents=True, exist_ok=True)
        clips = [self._clip(record, number, context.name) for number in range(CLIPS_PER_VIDEO)]
        for clip in clips:  # not flushed to the disk one by one: that is a worker's time
            (context.work / clip.payload_path).write_bytes(self.payload(clip.clip_id))
        return list(clips)

    @staticmethod
    def payload(clip_id: str) -> bytes:
        buffer = io.BytesIO()
        facts = {"clip_id": clip_id, "text": None}
        write_samples(buffer, [ShardSample(clip_id, {"face.mp4": b"-" * 256}).with_facts(facts)])
        return buffer.getvalue()

    def _clip(self, offset: rec.Offset, number: int, name: str) -> rec.Clip:
        clip, start = f"{offset.track_id}-c{number:03d}", number * CLIP_FRAMES
        path = f"clips/{clip}-{name}.tar"
        span = (start, start + CLIP_FRAMES, CLIP_FRAMES, start * 640)
        lag: Any = (-12.5, 0.4, "measured", -12.5, "measured", 0.97)
        rest: Any = (1.25, 3, 43.5, 0.91, path)
        return rec.Clip(
            *(clip, offset.track_id, offset.shot_id, offset.video_id),
            *span,
            *lag,
            *rest,
        )


SIMULATED_JOB = (
    Node("expand", f"{__name__}:Expand", rec.Request, rec.Source, "request_id", "net"),
    Node("download", f"{__name__}:Download", rec.Source, rec.Fetched, "source_id", "net"),
    Node("probe", f"{__name__}:Probe", rec.Fetched, rec.Video, "video_id"),
    Node("shots", f"{__name__}:Shots", rec.Video, rec.Shot, "video_id"),
    Node("tracks", f"{__name__}:Tracks", rec.Shot, rec.Track, "video_id", context=("video",)),
    Node(
        *("identity", f"{__name__}:Identity", rec.Track, rec.Identity, "video_id"),
        context=("video",),
    ),
    Node(
        *("sync", f"{__name__}:Sync", rec.Identity, rec.Offset, "video_id"),
        context=("video", "tracks"),
    ),
    Node(
        *("clips", f"{__name__}:Clips", rec.Offset, rec.Clip, "video_id"),
        context=("video", "tracks"),
    ),
)
"""The graph of a build, with its names, whose stages only make records."""
