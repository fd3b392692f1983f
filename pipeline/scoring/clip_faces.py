"""The face of a clip, for metrics that look at one, found by the stages that build a corpus.

`evaluation` imports no stage, so what it needs of a face is written to a file: `landmarks`
float32 [T, 68, 2] px, `mouths` uint8 [T, 40, 48], `start_frame` and, where asked for, SyncNet's
`crops` uint8 [T, 224, 224, 3]. A clip without a face gives a file with `reason` alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np

from manifests.arrays import save_npz
from manifests.media.facts import MediaError, why_unreadable
from manifests.media.video import open_video
from manifests.plain_words import sentence
from manifests.records import Reject, Track, Video
from stages.base import Context
from stages.faces.shots import Shots, ShotsConfig
from stages.faces.source_crops import iter_crops
from stages.faces.track_faces import TrackFaces
from stages.faces.tracks import Tracks, TracksConfig
from stages.sync.offsets import interpolate

RATE = 16000


class FaceFinder:
    """Stages are set up once and used for clip after clip."""

    @cached_property
    def _stages(self) -> tuple[Shots, Tracks]:
        stages = Shots(ShotsConfig()), Tracks(TracksConfig())
        for stage in stages:
            stage.setup()
        return stages

    def write(self, media: Path, out: Path, with_crops: bool) -> None:
        """The longest face track of the clip, or why there is none, to the file `out`."""
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = self._find(media, Path(folder), with_crops)
            except MediaError as error:
                found = f"the video cannot be read: {error}"
        save_npz(out, {"reason": np.array([found])} if isinstance(found, str) else found)

    def _find(self, media: Path, work: Path, with_crops: bool) -> dict[str, np.ndarray] | str:
        video, path = open_clip(media, work)
        context = Context(work, "clip", video)
        shots, tracks = self._stages
        (spans,) = shots.process([video], context)
        if isinstance(spans, Reject):
            return _why(spans)
        outcomes = tracks.process(spans, context)
        made: list[Track] = [t for o in outcomes if not isinstance(o, Reject) for t in o]
        if not made:
            return _why(next((o for o in outcomes if isinstance(o, Reject)), None))
        track = max(made, key=lambda t: t.end_frame - t.start_frame)
        faces = TrackFaces.load(track, work)
        arrays = {
            "landmarks": interpolate(faces.landmarks),
            "mouths": faces.mouths,
            "start_frame": np.array([track.start_frame]),
        }
        if with_crops:
            arrays["crops"] = np.stack(
                list(iter_crops(video, path, track.start_frame, faces.boxes))
            )
        return arrays


def open_clip(
    media: Path, work: Path, unheard: Collection[str] = ("no_audio",)
) -> tuple[Video, Path]:
    """A clip on the canonical clock; pictures without sound get silence. `unheard` are the reasons
    of a MediaError that stand for that. Raises MediaError."""
    try:
        return open_video(media), media
    except MediaError as error:
        if error.reason not in unheard:
            raise
        silenced = work / "silenced.mkv"
        _add_silence(media, silenced)
        return open_video(silenced), silenced


def _add_silence(media: Path, out: Path) -> None:
    """Packets as they are, and a silent sound stream: the clock wants one to be placed against."""
    try:
        with av.open(str(media)) as source, av.open(str(out), "w") as made:
            stream = source.streams.video[0]
            copied = made.add_stream_from_template(stream, opaque=True)
            sound = made.add_stream("flac", rate=RATE, layout="mono")
            end = Fraction(0)
            for packet in source.demux(stream):
                if packet.dts is None:
                    continue
                end = max(end, ((packet.pts or 0) + (packet.duration or 0)) * packet.time_base)
                packet.stream = copied
                made.mux(packet)
            silence = np.zeros((1, max(RATE, int(end * RATE))), np.int16)
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            made.mux(sound.encode(frame))
            made.mux(sound.encode(None))
    except (av.FFmpegError, IndexError) as error:
        raise MediaError("unreadable", f"{media.name}: {why_unreadable(media, error)}") from None
    except ValueError as error:  # a codec that Matroska knows not; text is one, to FFmpeg
        why = f"{media.name} is no video whose pictures can be used: {sentence(error)}"
        raise MediaError("unreadable", why) from None


def _why(reject: Reject | None) -> str:
    if reject is None:
        return "no face was found"
    why = reject.reason.replace("_", " ")
    return f"{why}: {reject.detail}" if reject.detail else why


def face_paths(
    folder: Path,
    wanted: dict[str, Path | None],
    with_crops: bool,
    finder: FaceFinder,
    name: Callable[[Path], str],
) -> dict[str, str]:
    """Fields of an Utterance to face files, made where they are not there yet."""
    given = {}
    for field, media in wanted.items():
        if media is None:
            continue
        out = folder / (name(media) + ("-crops" if with_crops else "") + ".npz")
        if not out.exists():
            finder.write(media, out, with_crops)
        given[field] = str(out)
    return given
