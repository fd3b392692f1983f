"""Who is seen in a video, and when: the stages of a build up to the tracks, and who is one person.

What a build asks beyond that (speech, sharp and frontal faces, agreement with the sound) is not
asked here: a silent video is what models that speak are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from manifests.clock import seconds_of
from manifests.records import Identity, Reject, Track, Video
from pipeline.config.build_config import BuildConfig
from stages.base import Context
from stages.clips.segmentation import usable_runs
from stages.corpus.speakers import assign_speakers
from stages.faces import registration
from stages.faces.identity import Identify
from stages.faces.shots import Shots
from stages.faces.track_faces import TrackFaces
from stages.faces.tracks import Tracks
from stages.sync.offsets import interpolate

MIN_FRAMES = 5
"""Shortest span that is spoken for: the shortest track."""


class NoFaceError(RuntimeError):
    """Nobody can be spoken for; the message says why."""


@dataclass(frozen=True)
class Span:
    """Frames [start, end) of one face without a gap, and how they are registered."""

    start: int
    end: int
    matrices: np.ndarray
    """float64 [end - start, 2, 3], source pixels to the canonical frame."""
    landmarks: np.ndarray
    """float32 [end - start, 68, 2] in the canonical frame."""


@dataclass(frozen=True)
class Person:
    """Spans in order, none over another."""

    spans: tuple[Span, ...]
    place: str
    """Where in the picture: left | middle | right."""

    @property
    def num_frames(self) -> int:
        """How long they can be spoken for."""
        return sum(span.end - span.start for span in self.spans)

    def in_words(self) -> str:
        """When and where they are seen."""
        first, last = self.spans[0].start, self.spans[-1].end
        return (
            f"{seconds_of(self.num_frames):.1f} s between {seconds_of(first):.1f} and "
            f"{seconds_of(last):.1f} s, {self.place}"
        )


def people_of(video: Video, work: Path, config: BuildConfig) -> list[Person]:
    """Everybody whose face can be registered, the one longest in the picture first.

    `video.media_path` opens as it is. Raises NoFaceError; SetupError where a backend that the
    settings name is wanting.
    """
    context = Context(work, "synthesis", video)
    tracks = _tracks(video, context, config)
    groups: dict[str, list[Track]] = {}
    for track, name in zip(tracks, _names(tracks, context, config), strict=True):
        groups.setdefault(name, []).append(track)
    people = [p for group in groups.values() if (p := _person(group, video, work, config))]
    if not people:
        raise NoFaceError("a face was found, but never clearly enough to register it")
    return sorted(people, key=lambda p: (-p.num_frames, p.spans[0].start))


def _tracks(video: Video, context: Context, config: BuildConfig) -> list[Track]:
    shots, tracks = Shots(config.shots), Tracks(config.tracks)
    for stage in (shots, tracks):
        stage.check_here(stage.config)
        stage.setup()
    (spans,) = shots.process([video], context)
    outcomes = [spans] if isinstance(spans, Reject) else tracks.process(spans, context)
    made = [t for o in outcomes if not isinstance(o, Reject) for t in o]
    if not made:
        rejects = [o for o in outcomes if isinstance(o, Reject)]
        why = next((r for r in rejects if r.reason != "no_face"), rejects[0])
        raise NoFaceError(why.detail or why.reason.replace("_", " "))
    return made


def _names(tracks: Sequence[Track], context: Context, config: BuildConfig) -> list[str]:
    """For each track a name of its person: its speaker, as a corpus would name them."""
    lenient = replace(
        config.identity,
        min_frames=1,
        min_face_px=0.0,
        min_sharpness=0.0,
        max_yaw_deg=180.0,
        max_pitch_deg=180.0,
        min_score=-np.inf,
        target=[],
    )
    identify = Identify(lenient)
    identify.setup()
    outcomes = identify.process(tracks, context)
    known: list[Identity] = [i for o in outcomes if not isinstance(o, Reject) for i in o]
    names = {s.track_id: s.speaker_id for s in assign_speakers(known, config.speakers)}
    return [names.get(track.track_id, track.track_id) for track in tracks]


def _person(group: Sequence[Track], video: Video, work: Path, config: BuildConfig) -> Person | None:
    """None where no span of theirs can be registered."""
    spans: list[Span] = []
    centres: list[float] = []
    for track in sorted(group, key=lambda t: t.start_frame - t.end_frame):
        faces = TrackFaces.load(track, work)
        for span in _spans(track, faces, config):
            # Two tracks at once may be taken for one person (a mirror): the longer one counts.
            if all(span.end <= other.start or other.end <= span.start for other in spans):
                spans.append(span)
                rows = slice(span.start - track.start_frame, span.end - track.start_frame)
                centres.append(float(np.nanmean(faces.boxes[rows][:, (0, 2)])))
    if not spans:
        return None
    spans.sort(key=lambda s: s.start)
    third = min(2, max(0, int(3 * np.mean(centres) / video.width_px)))
    return Person(tuple(spans), ("left", "in the middle", "right")[third])


def _spans(track: Track, faces: TrackFaces, config: BuildConfig) -> list[Span]:
    """As a build cuts and registers a track, but for speech and length."""
    whole, made = interpolate(faces.landmarks), []
    for a, b in usable_runs(faces.is_observed, config.clips.max_gap_frames):
        if b - a < MIN_FRAMES:
            continue
        matrices = registration.transforms(whole[a:b])
        landmarks = registration.apply(matrices, whole[a:b])
        residual = registration.residual_px(landmarks)
        if residual <= config.clips.max_residual_px:
            first = track.start_frame
            made.append(Span(first + a, first + b, matrices, landmarks))
    return made
