"""Clips: spans of a speaking face, corrected on the clock, registered and encoded.

A lag is removed by reading the sound earlier or later by whole samples; nothing is padded: a
span whose sound would lie outside the recording is trimmed. The corrected track is measured
again, and both values are kept. Pixels are decoded once more, full size, for kept spans only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from manifests.clock import FRAME_MS, FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME, lag_to_samples
from manifests.files import write_atomic
from manifests.ids import clip_id
from manifests.media.encode import FIRST_CRF, encode_flac, encode_from
from manifests.media.pictures import Picture, iter_pictures, resolve
from manifests.media.sound import read_audio, read_whole, wide_rate
from manifests.records import Clip, Offset, Reject, Track, Video, col
from manifests.shards import WIDE_AUDIO, ShardSample, write_samples
from stages.base import Context, Resources, Stage
from stages.clips.segmentation import segment, usable_runs, within
from stages.faces import registration
from stages.faces.track_faces import TrackFaces
from stages.sync.offsets import Sync, SyncConfig, interpolate, source_pictures

SHARED_GAP_FRAMES = 100
"""Clips no farther apart share one decode: to begin anew, as much must be decoded from the key
frame before."""


@dataclass(frozen=True)
class ClipsConfig:
    """How tracks are cut into clips."""

    mode: Literal["yld", "fixed", "whole"] = col("yld: cut at pauses", default="yld")
    min_frames: int = col("shortest clip", "frame", at_least=5, default=25)
    max_frames: int = col(
        "longest clip, and the length in `fixed` mode", "frame", at_least=5, default=75
    )
    min_speech_share: float = col(
        "least share of speech in a clip", at_least=0, at_most=1, default=0.3
    )
    max_gap_frames: int = col(
        "longest run of missing landmarks that is interpolated", "frame", at_least=0, default=2
    )
    max_residual_px: float = col(
        "largest registration residual", "px of 256", at_least=0, default=14.0
    )

    # Not in the key at its default: clips of corpora from before it stay as they are.
    wide_audio: bool = col(
        "keep the sound at the source's own rate too, as audio.wide.flac",
        default=False,
        in_key="unless_default",
    )

    def __post_init__(self) -> None:
        if self.max_frames < self.min_frames:
            raise ValueError(
                f"max_frames={self.max_frames} is below min_frames="
                f"{self.min_frames}; raise the one or lower the other"
            )


@dataclass(frozen=True)
class ClipsJob:
    """What the stage depends on: its own settings and those of the measurement."""

    clips: ClipsConfig = field(default_factory=ClipsConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)


@dataclass
class Plan:
    """A clip to be made, with what is known before its pixels are read."""

    offset: Offset
    track: Track
    number: int
    start: int
    end: int
    audio_start: int
    landmarks: np.ndarray
    is_interpolated: np.ndarray
    matrices: np.ndarray
    lag_ms: float
    frames: list[np.ndarray] = field(default_factory=list)
    clip: Clip | None = None


@dataclass(frozen=True)
class Wide:
    """A video's sound at the source's own rate."""

    pcm: np.ndarray
    """int16 [N], on the canonical clock."""
    rate: int

    def flac(self, start: int, num_frames: int) -> bytes:
        """Of a clip whose sound begins at sample `start` of 16 kHz, to the nearest sample."""
        first = round(Fraction(start * self.rate, SAMPLE_RATE))
        length = int(num_frames * self.rate / FRAME_RATE)
        kept = self.pcm[first : first + length]
        # Half a sample of 16 kHz is a sample or more here: the last may lie behind the end.
        return encode_flac(np.pad(kept, (0, length - len(kept))), self.rate)


@dataclass(frozen=True)
class Sound:
    """A video's sound: int16 [N] at 16 kHz, and the wide one where it is kept."""

    pcm: np.ndarray
    wide: Wide | None


class Clips(Stage[Offset, Clip]):
    """Tracks with an offset -> clips, each with its encoded members in a side file."""

    name = "clips"
    version = 3
    reasons = frozenset(
        {
            "undecided_offset",
            "landmark_gap",
            "too_little_speech",
            "outside_audio",
            "short_span",
            "bad_registration",
        }
    )
    resources = Resources(memory_gb=6.0, timeout_s=600.0)
    reads_media = True
    side_folder = "clips"

    def setup(self) -> None:
        self._factors: dict[str, float] = {}
        """The constant rate factor that the last clip of a track needed."""
        self.sync = Sync(self.config.sync)
        self.sync.setup()

    def fingerprint(self) -> dict[str, str]:
        return Sync(self.config.sync).fingerprint()

    def process(self, batch: Sequence[Offset], context: Context) -> list[list[Clip] | Reject]:
        video = context.the_video()
        path = resolve(video.media_path, context.work)
        pcm = read_whole(video, path)
        plans: list[list[Plan] | Reject] = []
        for offset in batch:
            track = context.tracks[offset.track_id]
            faces = TrackFaces.load(track, context.work)
            plans.append(self.plan(offset, track, faces, len(pcm)))
        todo = [p for group in plans if not isinstance(group, Reject) for p in group]
        wide = self._wide(video, path) if self.config.clips.wide_audio and todo else None
        self._render(video, path, Sound(pcm, wide), todo, context)
        outcomes: list[list[Clip] | Reject] = []
        for group in plans:
            if isinstance(group, Reject):
                outcomes.append(group)
                continue
            made = [p.clip for p in group if p.clip is not None]
            residual = min(
                registration.residual_px(registration.apply(p.matrices, p.landmarks)) for p in group
            )
            outcomes.append(
                made
                or Reject(
                    "bad_registration",
                    residual,
                    self.config.clips.max_residual_px,
                    "pixels from the template",
                )
            )
        return outcomes

    def _wide(self, video: Video, path: Path) -> Wide:
        rate = wide_rate(video, path)
        return Wide(read_audio(video, path, rate=rate), rate)

    def plan(
        self, offset: Offset, track: Track, faces: TrackFaces, num_samples: int
    ) -> list[Plan] | Reject:
        """Spans of one track. `num_samples` is the length of the sound."""
        config = self.config.clips
        measured = offset.offset_status == "measured"
        if not measured and self.config.sync.undecided == "drop":
            return Reject("undecided_offset", offset.confidence, None, offset.reason)
        lag_ms = (offset.video_lag_ms or 0.0) if measured and self.config.sync.correct else 0.0
        shift = lag_to_samples(lag_ms)
        lag_ms = shift / 16
        landmarks, observed = faces.landmarks, faces.is_observed
        runs = usable_runs(observed, config.max_gap_frames)
        longest = max(b - a for a, b in runs)
        if longest < config.min_frames:
            return Reject(
                "landmark_gap", longest, config.min_frames, "frames in the longest run of landmarks"
            )
        # The sound that matches frame f begins at 640 f - shift: keep it inside the recording.
        low = -(-max(0, shift) // SAMPLES_PER_FRAME)
        high = (num_samples + min(0, shift)) // SAMPLES_PER_FRAME
        shift_frames = shift / SAMPLES_PER_FRAME
        speech = [
            (round(a + shift_frames), round(b + shift_frames))
            for a, b in zip(offset.speech_start_frames, offset.speech_end_frames, strict=True)
        ]
        spans, inside = [], 0
        allowed = list(zip(track.hint_start_frames, track.hint_end_frames, strict=True))
        for start, end in within(
            [(max(track.start_frame + a, low), min(track.start_frame + b, high)) for a, b in runs],
            allowed,
        ):
            inside = max(inside, end - start)
            spans += segment(
                start,
                end,
                speech,
                config.mode,
                config.min_frames,
                config.max_frames,
                config.min_speech_share,
            )
        longest = max((high - low for low, high in allowed), default=config.min_frames)
        if longest < config.min_frames:
            return Reject(
                "short_span", longest, config.min_frames, "frames in the span its corpus names"
            )
        if inside < config.min_frames:
            return Reject("outside_audio", inside, config.min_frames, "frames with sound")
        if not spans:
            return Reject(
                "too_little_speech",
                offset.speech_share,
                config.min_speech_share,
                f"no span of {config.min_frames} frames has enough speech",
            )
        whole = interpolate(landmarks)
        plans = []
        for number, (start, end) in enumerate(spans):
            rows = slice(start - track.start_frame, end - track.start_frame)
            plans.append(
                Plan(
                    offset,
                    track,
                    number,
                    start,
                    end,
                    start * SAMPLES_PER_FRAME - shift,
                    whole[rows],
                    ~observed[rows],
                    registration.transforms(whole[rows]),
                    lag_ms,
                )
            )
        return plans

    def _render(
        self, video: Video, path, sound: Sound, plans: list[Plan], context: Context
    ) -> None:
        again = {}
        for plan in plans:
            if plan.offset.track_id not in again:
                again[plan.offset.track_id] = self._measure_again(plan, video, sound.pcm, context)
        self._factors = {}
        waiting = sorted(plans, key=lambda p: (p.start, p.offset.track_id))
        while waiting:
            group = [waiting.pop(0)]
            end = group[0].end
            while waiting and waiting[0].start <= end + SHARED_GAP_FRAMES:
                group.append(waiting.pop(0))
                end = max(end, group[-1].end)
            shown: Picture | None = None
            for frame, picture in iter_pictures(video, path, group[0].start, end):
                for plan in group:
                    if plan.start <= frame < plan.end:
                        if shown is not picture:
                            shown, draw = picture, _drawing(picture)
                        plan.frames.append(draw(plan.matrices[frame - plan.start]))
                        if frame + 1 == plan.end:
                            self._encode(plan, sound, again[plan.offset.track_id], context)

    def _measure_again(self, plan: Plan, video: Video, pcm: np.ndarray, context: Context):
        track, offset = plan.track, plan.offset
        faces = TrackFaces.load(track, context.work)
        regions = list(zip(offset.speech_start_frames, offset.speech_end_frames, strict=True))
        crops = source_pictures(video, context.work, track, faces)
        item = self.sync.judge(track, faces, pcm, regions, lag_to_samples(plan.lag_ms), crops)
        return self.sync.verdict(item)

    def _encode(self, plan: Plan, heard: Sound, again, context: Context) -> None:
        track, offset = plan.track, plan.offset
        canonical = registration.apply(plan.matrices, plan.landmarks)
        residual = registration.residual_px(canonical)
        if residual > self.config.clips.max_residual_px:
            plan.frames = []
            return
        length = plan.end - plan.start
        sound = heard.pcm[plan.audio_start : plan.audio_start + length * SAMPLES_PER_FRAME]
        factor = self._factors.get(track.track_id, FIRST_CRF)
        content, psnr, self._factors[track.track_id] = encode_from(plan.frames, factor)
        plan.frames = []
        points = io.BytesIO()
        np.lib.format.write_array(points, canonical, allow_pickle=False)
        name = clip_id(track.track_id, plan.number)
        status, _, residual_lag, _ = again
        shift_frames = plan.lag_ms / FRAME_MS
        speech = [
            (a + shift_frames, b + shift_frames)
            for a, b in zip(offset.speech_start_frames, offset.speech_end_frames, strict=True)
        ]
        talk = sum(max(0.0, min(b, plan.end) - max(a, plan.start)) for a, b in speech) / length
        path = context.side_path(Clips.side_folder, name, ".tar")
        clip = Clip(
            name,
            track.track_id,
            track.shot_id,
            track.video_id,
            plan.start,
            plan.end,
            length,
            plan.audio_start,
            plan.lag_ms,
            None if residual_lag is None else round(residual_lag, 1),
            status,
            offset.video_lag_ms,
            offset.offset_status,
            offset.confidence,
            round(residual, 3),
            int(plan.is_interpolated.sum()),
            round(psnr, 2),
            round(talk, 4),
            str(path.relative_to(context.work)),
        )
        buffer = io.BytesIO()
        members = {
            "face.mp4": content,
            "audio.flac": encode_flac(sound),
            "landmarks.npy": points.getvalue(),
        }
        if heard.wide is not None:
            members[WIDE_AUDIO] = heard.wide.flac(plan.audio_start, length)
        sample = ShardSample(name, members)
        write_samples(buffer, [sample.with_facts(sample_json(clip, offset, plan.is_interpolated))])
        write_atomic(path, buffer.getvalue())
        plan.clip = clip


def _drawing(picture: Picture) -> Callable[[np.ndarray], np.ndarray]:
    """From a transform [2, 3] to the canonical picture, as `encode_from` takes it."""
    planes = picture.planes()
    if planes is None:
        return partial(registration.warp, picture.rgb())
    return partial(registration.warp_planes, planes, to_bt709=picture.to_bt709())


def sample_json(clip: Clip, offset: Offset, is_interpolated: np.ndarray) -> dict:
    """The sample's `json` member; speaker, split and text are added when it goes into a
    shard."""
    return {
        "clip_id": clip.clip_id,
        "track_id": clip.track_id,
        "shot_id": clip.shot_id,
        "video_id": clip.video_id,
        "start_frame": clip.start_frame,
        "end_frame": clip.end_frame,
        "num_frames": clip.num_frames,
        "frame_rate": str(FRAME_RATE),
        "sample_rate": SAMPLE_RATE,
        "audio_start_sample": clip.audio_start_sample,
        "video_lag_ms": clip.video_lag_ms,
        "applied_lag_ms": clip.applied_lag_ms,
        "residual_lag_ms": clip.residual_lag_ms,
        "residual_status": clip.residual_status,
        "offset_status": clip.offset_status,
        "offset_reason": offset.reason,
        "offset_scope": offset.offset_scope,
        "confidence": clip.confidence,
        "raw_score": offset.raw_score,
        "estimator": offset.estimator,
        "search_ms": offset.search_ms,
        "speaking_score": offset.speaking_score,
        "speech_share": clip.speech_share,
        "registration_residual_px": clip.registration_residual_px,
        "interpolated_frames": np.flatnonzero(is_interpolated).tolist(),
        "text": None,
        "text_source": None,
        "text_reason": None,
        "words": None,
        "speaker_id": None,
        "split": None,
    }
