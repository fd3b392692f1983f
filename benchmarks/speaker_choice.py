"""How often Light-ASD and LR-ASD pick the face whose sound is heard, where all faces talk.

    python -m benchmarks.speaker_choice CLIPS/INDEX.tsv --scenes 100

A scene is two or three faces of different speakers, 3 s of each with speech in it, side by
side, and the sound of one of them, drawn at random: a guess is right once in two or three. Each
face is cropped from its own frames as the pipeline tracks them, so no crop reaches into its
neighbour's picture. This is the hard case of a conversation: nobody listens, the lips of all
move, only synchrony tells them apart.

Speakers are drawn first and then their clips, so that one with many clips does not outweigh
the rest. The index is tab-separated with the columns path, talking ("yes") and speaker.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
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
from stages.networks.lr_asd import LrAsd
from stages.sources.probe import Probe, ProbeConfig
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


@dataclass(frozen=True)
class Scene:
    """Faces side by side, and whose sound is heard."""

    faces: tuple[int, ...]
    heard: int
    """Position in `faces`."""


def read_index(path: Path) -> list[Clip]:
    """Clips that talk. Raises KeyError for an index without the three columns."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Clip(path.parent / r["path"], r["speaker"])
        for r in rows
        if r["talking"] == "yes" and r["speaker"]
    ]


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


def open_face(clip: Clip, speech: SpeechDetector, seed: int) -> Face | str:
    """3 s of the clip's one tracked face with speech in at least a third, or why there is none."""
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
        spans = tracked_boxes(video, Path(folder))
    pcm = read_audio(video, clip.path)
    regions = speech.regions(pcm)
    starts = []
    for first, boxes in spans:
        last = min(first + len(boxes), len(pcm) // SAMPLES_PER_FRAME) - FRAMES
        starts += [
            (start, first, boxes)
            for start in range(first, last + 1, STEP_FRAMES)
            if share(regions, start, start + FRAMES) >= MIN_SPEECH
        ]
    if not starts:
        return "no 3 s with a tracked face and speech"
    start, first, boxes = starts[np.random.default_rng(seed).integers(len(starts))]
    gray = gray_crops(video, clip.path, start, boxes[start - first : start - first + FRAMES])
    # The cepstra reach a little beyond the last frame.
    low = start * SAMPLES_PER_FRAME
    return Face(clip, gray, pcm[low : low + (FRAMES + 1) * SAMPLES_PER_FRAME])


def tracked_boxes(video: Video, work: Path) -> list[tuple[int, np.ndarray]]:
    """(first frame, boxes xyxy [T, 4]) of each track of the pipeline's own stages."""
    context = Context(work, "bench", video)
    spans: list[tuple[int, np.ndarray]] = []
    shots, tracks = Shots(ShotsConfig()), Tracks(TracksConfig())
    shots.setup()
    tracks.setup()
    (found,) = shots.process([video], context)
    if isinstance(found, Reject):
        return spans
    for outcome in tracks.process(found, context):
        for track in [] if isinstance(outcome, Reject) else outcome:
            spans.append((track.start_frame, TrackFaces.load(track, work).boxes))
    return spans


def mean_scores(network: LightAsd, faces: Sequence[Face]) -> np.ndarray:
    """float64 [F, F + 1]: mean score of each face with each face's sound, last with silence.

    The 3 s are one sequence: then pictures and sounds are encoded once each, and only the
    GRUs run for every pair.
    """
    silence = np.zeros(FRAMES * SAMPLES_PER_FRAME, np.int16)
    heard = [network.hear(features(pcm, FRAMES)) for pcm in [*(f.pcm for f in faces), silence]]
    table = np.empty((len(faces), len(heard)))
    for row, face in enumerate(faces):
        seen = network.see(face.gray)
        table[row] = [network.decide(seen, sound)[:, 1].mean() for sound in heard]
    return table


def num_right(scenes: Sequence[Scene], table: np.ndarray) -> int:
    """Scenes in which the face that is heard has the highest score; a tie is wrong."""
    right = 0
    for scene in scenes:
        scores = table[list(scene.faces), scene.faces[scene.heard]]
        others = np.delete(scores, scene.heard)
        right += bool(scores[scene.heard] > others.max())
    return right


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z, share_ = 1.959964, right / count
    centre = (share_ + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share_ * (1 - share_) / count + z**2 / (4 * count**2))
    return centre - half, centre + half


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("--scenes", type=int, default=100, help="half with two, half with three")
    parser.add_argument("--clips-per-speaker", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    files = {fetch(name): kind for name, kind in WEIGHTS.items()}
    speech, faces = SpeechDetector(0.5), []
    for clip in choose_clips(read_index(options.index), options.clips_per_speaker, options.seed):
        face = open_face(clip, speech, options.seed)
        if isinstance(face, str):
            print(f"left out {clip.path.name}: {face}", file=sys.stderr)
        else:
            faces.append(face)
    speakers = [f.clip.speaker for f in faces]
    sets = {n: draw_scenes(speakers, n, options.scenes // 2, options.seed) for n in (2, 3)}
    print(f"{len(faces)} clips of {len(set(speakers))} speakers, seed {options.seed}\n")
    print("| weights | score | faces | right | share, 95 % | by guessing |")
    print("| --- | --- | --- | --- | --- | --- |")
    for file, kind in files.items():
        table = mean_scores(kind.load(file), faces)
        for rule, values in (
            ("mean", table),
            ("mean, less that with silence", table - table[:, -1:]),
        ):
            for count, scenes in sets.items():
                right = num_right(scenes, values)
                low, high = wilson(right, len(scenes))
                print(
                    f"| {file.name} | {rule} | {count} | {right} of {len(scenes)} "
                    f"| {100 * low:.0f}-{100 * high:.0f} % | {100 / count:.0f} % |"
                )


if __name__ == "__main__":
    main()
