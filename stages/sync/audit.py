"""Measure: the offset of every track by every wished estimator, rejecting nothing.

`stages.sync.offsets` decides what goes into a corpus; an audit wants a row for each clip, with a
number or the reason why there is none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np

from manifests.clock import seconds_of
from manifests.crops import crop
from manifests.media.pictures import resolve
from manifests.media.sound import read_audio
from manifests.paths import as_path
from manifests.records import Measured, Offset, Request, Track, col
from manifests.shards import ShardSample, read_samples
from stages.backends import registry
from stages.base import Context, Resources, Stage
from stages.faces.track_faces import TrackFaces
from stages.networks import lag_curves as off
from stages.sync.drift import drift_of
from stages.sync.estimators import ESTIMATORS
from stages.sync.offsets import EstimatorName, Judged, Sync, SyncConfig, source_pictures
from stages.sync.speech import SpeechDetector
from stages.sync.together import inherited


@dataclass(frozen=True)
class MeasureConfig:
    """What is measured, and how."""

    estimators: list[str] = col(
        "offset estimators, the first one counts", default_factory=lambda: ["lipsync"]
    )
    sync: SyncConfig = field(default_factory=SyncConfig)


class _Measurer:
    """Sync of each estimator over one set of signals."""

    def __init__(self, config: MeasureConfig) -> None:
        self.syncs = [_sync_of(config, name) for name in config.estimators]
        for sync in self.syncs:
            sync.setup()

    def judge(
        self, track: Track, faces: TrackFaces, pcm: np.ndarray, regions, crops
    ) -> list[Judged]:
        return [sync.judge(track, faces, pcm, regions, crops=crops) for sync in self.syncs]

    def offset(self, sync: Sync, item: Judged, regions) -> Offset:
        row, config = sync.offset_of(item, regions), sync.config
        if item.speech_s < config.min_speech_s:
            why = f"{item.speech_s:.2f} s of speech, {config.min_speech_s} s are needed"
            return dataclasses.replace(
                row, offset_status="no_speech", video_lag_ms=None, confidence=None, reason=why
            )
        if item.lip_motion < config.min_lip_motion:
            why = (
                f"still lips: they move by {item.lip_motion:.4f} eye distances during speech, "
                f"{config.min_lip_motion} are needed"
            )
            return dataclasses.replace(
                row, offset_status="undecided", video_lag_ms=None, reason=why
            )
        return row

    def rows(self, sync: Sync, judged: list[Judged], regions) -> list[Measured]:
        """All tracks of a video by one estimator: what they share, what each needed."""
        offsets = inherited(sync, judged, [self.offset(sync, item, regions) for item in judged])
        drift = drift_of(sync, judged)
        return [
            Measured(**vars(row), **drift, **needed(sync, item))
            for row, item in zip(offsets, judged, strict=True)
        ]


def needed(sync: Sync, item: Judged) -> dict[str, Any]:
    """The fields of `Measured` that say how much speech a track took to be decided: the windows,
    from its beginning on, after which its pooled lag counts as measured and stays so."""
    peak = item.peak
    used = [i for i, weight in enumerate(item.weights) if weight > 0]
    spoken_s = round(item.seconds, 2)
    made: dict[str, Any] = {
        "peak_lag_ms": None if peak is None else round(peak.lag_ms, 1),
        "heard_s": spoken_s,
    }
    if peak is None or not sync.is_sure(peak, item.basis):
        return made
    count = len(used)
    while count > 1:
        fewer = used[: count - 1]
        pooled = off.pool([item.curves[i] for i in fewer], [item.weights[i] for i in fewer])
        early = None if pooled is None else sync.estimator.peak(pooled)
        if early is None or abs(early.lag_ms - peak.lag_ms) > off.FRAME_ERROR_MS:
            break
        heard_s = _heard_s(item, fewer)
        spoken = heard_s * float(np.mean([item.weights[i] for i in fewer]))
        if not sync.is_sure(early, off.Basis(heard_s, spoken, item.rhythm_of(fewer))):
            break
        count -= 1
    return made | {
        "windows_needed": count,
        "seconds_needed": round(_heard_s(item, used[:count]), 2),
    }


def _heard_s(item: Judged, used: Sequence[int]) -> float:
    """Seconds that some of a track's windows cover together."""
    covered = np.zeros(max((b for _, b in item.windows), default=0), bool)
    for i in used:
        covered[slice(*item.windows[i])] = True
    return seconds_of(float(covered.sum()))


class Measure(Stage[Track, Measured]):
    """Every track of a video -> one Offset per estimator, with the drift of all of them."""

    name = "measure"
    version = 3
    resources = Resources(memory_gb=6.0, timeout_s=600.0)
    reads_media = True

    @classmethod
    def check_here(cls, config: MeasureConfig) -> None:
        for name in config.estimators:
            registry.check_at_hand(ESTIMATORS, name)

    def setup(self) -> None:
        self.measurer = _Measurer(self.config)

    def fingerprint(self) -> dict[str, str]:
        return _fingerprint(self.config)

    def process(self, batch: Sequence[Track], context: Context) -> list[list[Measured]]:
        video = context.the_video()
        pcm = read_audio(video, resolve(video.media_path, context.work))
        syncs = self.measurer.syncs
        regions = syncs[0].speech.regions(pcm)
        judged = []
        for track in batch:
            faces = TrackFaces.load(track, context.work)
            crops = source_pictures(video, context.work, track, faces)
            judged.append(self.measurer.judge(track, faces, pcm, regions, crops))
        columns = [
            self.measurer.rows(sync, [row[i] for row in judged], regions)
            for i, sync in enumerate(syncs)
        ]
        return [list(row) for row in zip(*columns, strict=True)]


class MeasureShard(Stage[Request, Measured]):
    """A shard of ours -> the offsets of its samples, each judged alone; `track_id` is the key."""

    name = "measure_shard"
    version = 2
    reasons = frozenset({"empty_shard"})
    resources = Resources(memory_gb=8.0, timeout_s=3600.0)

    def setup(self) -> None:
        self.measurer = _Measurer(self.config)
        self.speech = SpeechDetector(self.config.sync.vad_threshold)

    def fingerprint(self) -> dict[str, str]:
        return _fingerprint(self.config)

    def process(self, batch: Sequence[Request], context: Context) -> list[list[Measured]]:
        return [self._shard(request) for request in batch]

    def _shard(self, request: Request) -> list[Measured]:
        made: list[Measured] = []
        for sample in read_samples(as_path(request.address)):
            faces, pcm = TrackFaces.of_sample(sample), sample.sound
            track = sample_track(
                sample.key, sample.facts.get("video_id", sample.key), len(faces.landmarks)
            )
            regions = self.speech.regions(pcm)
            judged = self.measurer.judge(track, faces, pcm, regions, partial(_crops, sample))
            made += [
                Measured(
                    **vars(self.measurer.offset(sync, item, regions)),
                    **needed(sync, item),
                )
                for sync, item in zip(self.measurer.syncs, judged, strict=True)
            ]
        return made


def _crops(sample: ShardSample) -> np.ndarray:
    """SyncNet's pictures of a sample, cut when asked for."""
    return crop(sample.faces(), "syncnet")


def sample_track(key: str, video_id: str, num_frames: int) -> Track:
    """A sample seen as a track of its own."""
    nothing: dict[str, Any] = {f.name: None for f in dataclasses.fields(Track)}
    return Track(
        **nothing
        | {
            "track_id": key,
            "shot_id": key,
            "video_id": video_id,
            "start_frame": 0,
            "end_frame": num_frames,
        }
    )


def _sync_of(config: MeasureConfig, estimator: str) -> Sync:
    """The stage of one of the estimators, whose names `registry.make` checks."""
    return Sync(dataclasses.replace(config.sync, estimator=cast(EstimatorName, estimator)))


def _fingerprint(config: MeasureConfig) -> dict[str, str]:
    made: dict[str, str] = {}
    for name in config.estimators:
        sync = _sync_of(config, name)
        made |= {f"{name}.{k}": v for k, v in sync.fingerprint().items()}
    return made
