"""How often active speaker detectors pick the face whose sound is heard, and when they should not.

    python -m benchmarks.speaker_choice CLIPS/INDEX.tsv [MORE/INDEX.tsv] --scenes 100 \\
        [--listening 'wild/*'] [--folds DIR]

A scene is two or three faces of different people side by side, 3 s of each. In the first kind all
talk, with speech in their own sound, and the sound of one is heard, drawn at random: a guess is
right once in two or three, and only synchrony tells. In the second one talks and is heard, and the
others are people who move and say nothing (clips of the index that do not talk and match
`--listening`). In the third all talk and the sound is of somebody else: nobody should be taken.
Each face is cropped from its own frames as the pipeline tracks them, so no crop reaches into its
neighbour's picture.

Speakers are drawn first and then their clips, so that one with many clips does not outweigh
the rest. An index is tab-separated with the columns path, speaker and, if some do not talk,
talking ("yes"). With --folds the synchrony model is among the detectors, each face judged by
weights that never saw it (`benchmarks.lipsync_protocol ... --out DIR`), and only speakers whom
some fold left out talk.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME
from manifests.media.sound import read_audio
from manifests.records import Fetched, Reject, Video
from manifests.weights.cache import fetch
from stages.base import Context
from stages.faces.shots import Shots, ShotsConfig
from stages.faces.source_crops import gray_crops
from stages.faces.track_faces import TrackFaces
from stages.faces.tracks import Tracks, TracksConfig
from stages.networks.light_asd import LightAsd, features
from stages.networks.lipsync import LipSync
from stages.networks.lr_asd import LrAsd
from stages.sources.probe import Probe, ProbeConfig
from stages.sync.active_speakers import ByAgreement, ByLightAsd
from stages.sync.offsets import held, interpolate
from stages.sync.speech import SpeechDetector, share

FRAMES = 75
STEP_FRAMES = 25
MIN_SPEECH = 1 / 3
WEIGHTS: dict[str, type[LightAsd]] = {
    "light_asd_ava.model": LightAsd,
    "light_asd_talkset.model": LightAsd,
    "lr_asd_talkset.model": LrAsd,
}


@dataclass(frozen=True)
class Clip:
    """A row of the index."""

    path: Path
    speaker: str


@dataclass(frozen=True)
class Face:
    """3 s of a talking face."""

    clip: Clip
    gray: np.ndarray
    """uint8 [75, 112, 112]"""
    pcm: np.ndarray
    """int16 [48 000 or a little more], from the first crop on"""
    landmarks: np.ndarray | None = None
    """float32 [75, 68, 2], source pixels; what the synchrony model looks at."""
    mouths: np.ndarray | None = None
    """uint8 [75, 40, 48]"""
    listens: bool = False


@dataclass(frozen=True)
class Scene:
    """Faces side by side, and whose sound is heard."""

    faces: tuple[int, ...]
    heard: int | None
    """Position in `faces`; None where it is that of nobody in view."""
    sound: int = -1
    """The face whose sound is heard, where it is not in view."""

    @property
    def column(self) -> int:
        """The face whose sound is heard."""
        return self.sound if self.heard is None else self.faces[self.heard]


def read_index(path: Path) -> list[Clip]:
    """Clips that talk: all of an index without that column. Raises KeyError without path or
    speaker."""
    return [
        Clip(path.parent / r["path"], r["speaker"])
        for r in _rows(path)
        if r.get("talking", "yes") == "yes" and r["speaker"]
    ]


def read_listening(path: Path, pattern: str) -> list[Clip]:
    """Clips of an index that do not talk and whose path matches; each is a person of its own."""
    return [
        Clip(path.parent / r["path"], r["path"])
        for r in _rows(path)
        if r.get("talking") == "no" and fnmatch(r["path"], pattern)
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def choose_clips(clips: Sequence[Clip], per_speaker: int, seed: int) -> list[Clip]:
    """At most so many clips of each speaker, drawn at random, in order of speaker and path."""
    random = np.random.default_rng(seed)
    chosen = []
    for speaker in sorted({c.speaker for c in clips}):
        own = sorted((c for c in clips if c.speaker == speaker), key=lambda c: c.path)
        picks = random.permutation(len(own))[:per_speaker]
        chosen += [own[i] for i in sorted(picks)]
    return chosen


def draw_scenes(speakers: Sequence[str], num_faces: int, count: int, seed: int) -> list[Scene]:
    """Scenes over faces whose speakers are given. Raises ValueError for too few speakers."""
    names = sorted(set(speakers))
    if len(names) < num_faces:
        raise ValueError(f"{num_faces} speakers are needed, there are {len(names)}")
    random = np.random.default_rng([seed, num_faces])
    scenes = []
    for _ in range(count):
        people = random.permutation(len(names))[:num_faces]
        faces = tuple(
            int(random.choice([i for i, s in enumerate(speakers) if s == names[p]])) for p in people
        )
        scenes.append(Scene(faces, int(random.integers(num_faces))))
    return scenes


def draw_listening(
    talking: Sequence[str], listening: Sequence[str], num_faces: int, count: int, seed: int
) -> list[Scene]:
    """One face of the first who is heard, the rest of the second, numbered after the first."""
    random = np.random.default_rng([seed, num_faces, 1])
    names, others = sorted(set(talking)), sorted(set(listening))
    if not names or len(others) < num_faces - 1:
        raise ValueError(f"{num_faces - 1} listening people are needed, there are {len(others)}")
    scenes = []
    for _ in range(count):
        heard = int(random.choice(np.flatnonzero(np.array(talking) == random.choice(names))))
        faces = [heard]
        for name in random.permutation(others)[: num_faces - 1]:
            faces.append(
                len(talking) + int(random.choice(np.flatnonzero(np.array(listening) == name)))
            )
        order = random.permutation(num_faces)
        scenes.append(Scene(tuple(faces[i] for i in order), int(np.argmin(order))))
    return scenes


def draw_swapped(speakers: Sequence[str], num_faces: int, count: int, seed: int) -> list[Scene]:
    """All talk; the sound is of one more, who is not in view."""
    wider = draw_scenes(speakers, num_faces + 1, count, seed + 1000)
    return [Scene(scene.faces[1:], None, scene.faces[0]) for scene in wider]


def open_face(clip: Clip, speech: SpeechDetector, seed: int, listens: bool = False) -> Face | str:
    """3 s of the clip's one tracked face, with speech in at least a third unless it listens, or
    why there is none."""
    item = Fetched(
        source_id="s",
        video_id="v",
        media_path=str(clip.path),
        sha256="",
        num_bytes=1,
        address=str(clip.path),
        kind="file",
        requested_as=str(clip.path),
    )
    outcome = Probe(ProbeConfig()).process([item], Context(clip.path.parent))[0]
    if isinstance(outcome, Reject):
        return outcome.reason
    (video,) = outcome
    with tempfile.TemporaryDirectory() as folder:
        spans = tracked_faces(video, Path(folder))
    has_sound = video.audio_codec is not None
    pcm = read_audio(video, clip.path) if has_sound else np.zeros(0, np.int16)
    regions = speech.regions(pcm) if len(pcm) else []
    starts = []
    for first, seen in spans:
        last = first + len(seen.boxes) - FRAMES
        if not listens:
            last = min(last, len(pcm) // SAMPLES_PER_FRAME - FRAMES)
        starts += [
            (start, first, seen)
            for start in range(first, last + 1, STEP_FRAMES)
            if listens or share(regions, start, start + FRAMES) >= MIN_SPEECH
        ]
    if not starts:
        return "no 3 s with a tracked face" + ("" if listens else " and speech")
    start, first, seen = starts[np.random.default_rng(seed).integers(len(starts))]
    part = slice(start - first, start - first + FRAMES)
    gray = gray_crops(video, clip.path, start, seen.boxes[part])
    # The cepstra reach a little beyond the last frame.
    low = start * SAMPLES_PER_FRAME
    return Face(
        clip,
        gray,
        pcm[low : low + (FRAMES + 1) * SAMPLES_PER_FRAME],
        interpolate(seen.landmarks)[part],
        held(seen.mouths, seen.is_observed)[part],
        listens,
    )


def tracked_faces(video: Video, work: Path) -> list[tuple[int, TrackFaces]]:
    """(first frame, its face) of each track of the pipeline's own stages."""
    context = Context(work, "bench", video)
    spans: list[tuple[int, TrackFaces]] = []
    shots, tracks = Shots(ShotsConfig()), Tracks(TracksConfig())
    shots.setup()
    tracks.setup()
    (found,) = shots.process([video], context)
    if isinstance(found, Reject):
        return spans
    for outcome in tracks.process(found, context):
        for track in [] if isinstance(outcome, Reject) else outcome:
            spans.append((track.start_frame, TrackFaces.load(track, work)))
    return spans


def pairs_of(scenes: Iterable[Scene]) -> set[tuple[int, int]]:
    """(face, whose sound) of all scenes: what has to be judged."""
    return {(face, scene.column) for scene in scenes for face in scene.faces}


def mean_scores(
    network: LightAsd, faces: Sequence[Face], pairs: Collection[tuple[int, int]]
) -> np.ndarray:
    """float64 [F, F + 1]: mean score of a face with a face's sound, of these pairs, last of all
    with silence; NaN elsewhere.

    The 3 s are one sequence: then pictures and sounds are encoded once each, and only the
    GRUs run for every pair.
    """
    silence = network.hear(features(np.zeros(FRAMES * SAMPLES_PER_FRAME, np.int16), FRAMES))
    heard = {c: network.hear(features(faces[c].pcm, FRAMES)) for _, c in pairs}
    table = np.full((len(faces), len(faces) + 1), np.nan)
    for row in sorted({row for row, _ in pairs}):
        seen = network.see(faces[row].gray)
        table[row, -1] = network.decide(seen, silence)[:, 1].mean()
        for column in sorted(c for r, c in pairs if r == row):
            table[row, column] = network.decide(seen, heard[column])[:, 1].mean()
    return table


def agreements(
    left_out: Mapping[str, LipSync], faces: Sequence[Face], pairs: Collection[tuple[int, int]]
) -> np.ndarray:
    """The same by the synchrony model: heights of the peaks, 0 with silence. Who is in nobody's
    fold, as those who listen, is judged by any."""
    anybody = next(iter(left_out.values()))
    table = np.full((len(faces), len(faces) + 1), np.nan)
    table[:, -1] = 0.0
    for row, column in sorted(pairs):
        face = faces[row]
        if face.landmarks is None or face.mouths is None:
            raise ValueError(f"{face.clip.path} was opened without its points")
        pcm = faces[column].pcm[: FRAMES * SAMPLES_PER_FRAME]
        model = left_out.get(face.clip.speaker, anybody)
        peak = model.clip_peak(face.landmarks, face.mouths, pcm)
        table[row, column] = 0.0 if peak is None else peak.height
    return table


def models_of(folder: Path) -> dict[str, LipSync]:
    """By speaker the weights of the folder that left them out. Raises SystemExit for none."""
    models = [LipSync.load(path) for path in sorted(folder.glob("fold*.safetensors"))]
    if not models:
        raise SystemExit(f"{folder} holds no weights of folds")
    return {s: m for m in models for s in (m.facts or {})["left_out"]}


def num_right(scenes: Sequence[Scene], table: np.ndarray) -> int:
    """Scenes in which the face that is heard has the highest score; a tie is wrong."""
    return sum(_lead(scene, table) > 0 for scene in scenes)


def num_taken(scenes: Sequence[Scene], table: np.ndarray, margin: float) -> int:
    """Scenes of a sound of nobody in view in which a face leads the others by the margin."""
    taken = 0
    for scene in scenes:
        second, first = np.sort(table[list(scene.faces), scene.column])[-2:]
        taken += bool(first - second >= margin)
    return taken


def _lead(scene: Scene, table: np.ndarray) -> float:
    assert scene.heard is not None, "somebody in view is heard"
    scores = table[list(scene.faces), scene.column]
    return float(scores[scene.heard] - np.delete(scores, scene.heard).max())


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z, share_ = 1.959964, right / count
    centre = (share_ + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share_ * (1 - share_) / count + z**2 / (4 * count**2))
    return centre - half, centre + half


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("indices", type=Path, nargs="+")
    parser.add_argument("--scenes", type=int, default=100, help="half with two, half with three")
    parser.add_argument("--clips-per-speaker", type=int, default=6)
    parser.add_argument("--most-speakers", type=int, help="drawn at random")
    parser.add_argument("--listening", help="pattern of the paths of those who say nothing")
    parser.add_argument("--folds", type=Path, help="weights of the synchrony model")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    speech = SpeechDetector(0.5)
    clips = [c for i in options.indices for c in read_index(i)]
    left_out = models_of(options.folds) if options.folds else {}
    if left_out:
        clips = [c for c in clips if c.speaker in left_out]
    if options.most_speakers:
        names = sorted({c.speaker for c in clips})
        kept = np.random.default_rng(options.seed).permutation(names)[: options.most_speakers]
        clips = [c for c in clips if c.speaker in set(kept)]
    clips = choose_clips(clips, options.clips_per_speaker, options.seed)
    silent = [c for i in options.indices for c in read_listening(i, options.listening or "")]
    faces: list[Face] = []
    for clip in [*clips, *silent]:
        face = open_face(clip, speech, options.seed, clip in silent)
        if isinstance(face, str):
            print(f"left out {clip.path.name}: {face}", file=sys.stderr)
        else:
            faces.append(face)
    speakers = [f.clip.speaker for f in faces if not f.listens]
    others = [f.clip.speaker for f in faces if f.listens]
    print(
        f"{len(faces)} clips of {len(set(speakers))} speakers and {len(set(others))} who listen, "
        f"seed {options.seed}\n"
    )
    half = options.scenes // 2
    sets = {("all talk", n): draw_scenes(speakers, n, half, options.seed) for n in (2, 3)}
    if len(set(others)) >= 2:
        for n in (2, 3):
            scenes = draw_listening(speakers, others, n, half, options.seed)
            sets["others listen", n] = scenes
    for n in (2, 3):
        sets["sound of another", n] = draw_swapped(speakers, n, half, options.seed)
    print("| detector | score | faces | scene | right | share, 95 % | by guessing |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    pairs = pairs_of(scene for scenes in sets.values() for scene in scenes)
    for name, rule, margin, values in tables(faces, pairs, left_out):
        for (kind, count), scenes in sets.items():
            swapped = kind == "sound of another"
            right = num_right(scenes, values) if not swapped else None
            if right is None:
                right = len(scenes) - num_taken(scenes, values, margin)
            low, high = wilson(right, len(scenes))
            guess = "–" if swapped else f"{100 / count:.0f} %"
            print(
                f"| {name} | {rule} | {count} | {kind} | {right} of {len(scenes)} "
                f"| {100 * low:.0f}-{100 * high:.0f} % | {guess} |"
            )


def tables(
    faces: Sequence[Face], pairs: Collection[tuple[int, int]], left_out: Mapping[str, LipSync]
):
    """(detector, rule, margin, its `mean_scores`) of every detector."""
    for name, kind in WEIGHTS.items():
        table = mean_scores(kind.load(fetch(name)), faces, pairs)
        yield name, "mean", ByLightAsd.margin, table
        yield name, "mean, less that with silence", ByLightAsd.margin, table - table[:, -1:]
    if left_out:
        table = agreements(left_out, faces, pairs)
        yield "lipsync, unseen speakers", "peak", ByAgreement.margin, table


if __name__ == "__main__":
    main()
