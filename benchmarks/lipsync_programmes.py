"""Programmes composed of strangers' clips, as videos: what tracks of one chain take from others.

    python -m benchmarks.lipsync_programmes CORPUS... --index INDEX.tsv --folds DIR [--programmes 8]

A programme is nine speakers of one fold of DIR (`benchmarks.lipsync_protocol ... --out DIR`), 3 s
each, cut together with their sound, judged by the weights that saw none of them. In one kind the
whole programme was late by one lag; in the other each part came with its own. Each clip's own lag,
as the folds estimated it, is taken out before. A third table gives undecided parts of one speaker
who has many clips that speaker's centre, as `yld resync --undecided speaker` does.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.lipsync_protocol import MANY_CLIPS
from manifests.clock import SAMPLE_RATE
from manifests.media.pictures import iter_frames
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from manifests.records import Offset, Reject
from pipeline.resync.plan import contradicts_centre
from stages.base import Context
from stages.faces.shots import Shots, ShotsConfig
from stages.faces.track_faces import TrackFaces
from stages.faces.tracks import Tracks, TracksConfig
from stages.networks.lipsync import LipSync
from stages.sync.audit import needed
from stages.sync.offsets import Sync, SyncConfig
from stages.sync.together import inherited
from training.models.lipsync.examples import Example
from training.models.lipsync.held_out import weights_of_fold
from training.models.lipsync.run import load
from training.models.lipsync.trial import shifted

SIZE = (640, 480)
PART_FRAMES, NUM_PARTS = 75, 9
MAX_PLANT_MS = 300.0
NEAR_MS = 40.0
DONORS = 5
"""Measured clips from which a speaker's centre is given to the undecided ones (docs)."""


@dataclass(frozen=True)
class Part:
    """A stretch of a clip in a programme, and by how much its picture is late there."""

    example: Example
    start_frame: int
    lag_ms: float


@dataclass
class Tally:
    """Parts of all programmes of a kind."""

    tracks: int = 0
    measured: int = 0
    right: int = 0
    inherited: int = 0
    inherited_right: int = 0

    def add(self, row: Offset, lag_ms: float) -> None:
        self.tracks += 1
        if row.offset_status != "measured" or row.video_lag_ms is None:
            return
        near = abs(row.video_lag_ms - lag_ms) <= NEAR_MS
        if row.offset_scope == "video":
            self.inherited, self.inherited_right = self.inherited + 1, self.inherited_right + near
        else:
            self.measured, self.right = self.measured + 1, self.right + near

    def line(self, name: str) -> str:
        return (
            f"| {name} | {self.tracks} | {self.measured} | {self.right} | {self.inherited} | "
            f"{self.inherited_right} |"
        )


def draw_parts(
    examples: Sequence[Example], shared: bool, random: np.random.Generator
) -> list[Part]:
    """A part of each of up to nine speakers; one planted lag for all, or one each."""
    people = sorted({e.speaker for e in examples})
    plant = random.uniform(-MAX_PLANT_MS, MAX_PLANT_MS)
    parts = []
    for person in random.permutation(people)[:NUM_PARTS]:
        theirs = [e for e in examples if e.speaker == person]
        example = theirs[random.integers(len(theirs))]
        start = int(random.integers(len(example) - PART_FRAMES + 1))
        lag = plant if shared else random.uniform(-MAX_PLANT_MS, MAX_PLANT_MS)
        parts.append(Part(example, start, lag))
    return parts


def compose(parts: Sequence[Part], own_ms: dict[str, float], path: Path) -> None:
    """Write a programme: H.264 at 25 fps, FLAC at 16 kHz, in Matroska."""
    sounds = []
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = out.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        count = 0
        for part in parts:
            source = open_video(part.example.source)
            first, last = part.start_frame, part.start_frame + PART_FRAMES
            for _, picture in iter_frames(source, None, first, last):
                frame = av.VideoFrame.from_ndarray(fitted(picture), "rgb24")
                frame.pts, frame.time_base = count, Fraction(1, 25)
                out.mux(video.encode(frame))
                count += 1
            pcm = read_audio(source)
            moved = part.lag_ms - own_ms[part.example.name]
            sounds.append(shifted(pcm, first, last, moved))
        out.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(np.concatenate(sounds)[None], "s16", "mono")
        sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        out.mux(audio.encode(sound))
        out.mux(audio.encode())


def fitted(picture: np.ndarray) -> np.ndarray:
    """A picture in the middle of `SIZE`, the rest black."""
    height, width = picture.shape[:2]
    scale = min(SIZE[0] / width, SIZE[1] / height)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), None, 0, 0, 3)
    canvas = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    top, left = (SIZE[1] - small.shape[0]) // 2, (SIZE[0] - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def measure(sync: Sync, path: Path) -> list[tuple[int, Offset, dict]]:
    """(middle frame, row, what an audit adds) of each track, by the stages that an audit runs."""
    video = open_video(path)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        context = Context(work, "programme", video)
        shots, tracks = Shots(ShotsConfig()), Tracks(TracksConfig())
        shots.setup()
        tracks.setup()
        (found,) = shots.process([video], context)
        if isinstance(found, Reject):
            return []
        pcm = read_audio(video)
        regions = sync.speech.regions(pcm)
        judged = [
            sync.judge(track, TrackFaces.load(track, work), pcm, regions)
            for outcome in tracks.process(found, context)
            if not isinstance(outcome, Reject)
            for track in outcome
        ]
    rows = inherited(sync, judged, [sync.offset_of(item, regions) for item in judged])
    return [
        ((i.track.start_frame + i.track.end_frame) // 2, row, needed(sync, i))
        for i, row in zip(judged, rows, strict=True)
    ]


def sync_with(model: LipSync) -> Sync:
    """The stage with other weights than those that ship."""
    sync = Sync(SyncConfig())
    sync.setup()
    sync.estimator.__dict__["_model"] = model
    return sync


def by_centre(rows: Sequence[tuple[Offset, dict, float]]) -> tuple[int, int, int]:
    """Undecided parts of one speaker, how many take the centre of the measured ones, and how many
    of these are right by what was planted (the same lag for all)."""
    lags = [r.video_lag_ms for r, _, _ in rows if r.video_lag_ms is not None]
    undecided = [(r, more, lag) for r, more, lag in rows if r.offset_status == "undecided"]
    centre = float(np.median(lags)) if len(lags) >= DONORS else None
    if centre is None or np.mean(np.abs(np.array(lags) - centre) <= NEAR_MS) < 0.9:
        return len(undecided), 0, 0
    taken = [
        lag
        for row, more, lag in undecided
        if not contradicts_centre(more["peak_lag_ms"], row.confidence, centre)
    ]
    return len(undecided), len(taken), sum(abs(centre - lag) <= NEAR_MS for lag in taken)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--index", type=Path, action="append", default=[])
    parser.add_argument("--folds", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, help="weights whose calibration counts")
    parser.add_argument("--programmes", type=int, default=8, help="of each kind")
    parser.add_argument("--clips", type=int, default=40, help="of each speaker with many")
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args(arguments)
    examples = load(options.corpora, options.index)
    own_ms = json.loads((options.folds / "own_lags.json").read_text())["measured"]
    random = np.random.default_rng(options.seed)
    folds = []
    for number in range(len(list(options.folds.glob("fold*.safetensors")))):
        model = LipSync.load(weights_of_fold(options.folds, number))
        judge = LipSync.load(options.calibration) if options.calibration else LipSync.load()
        model.calibration = judge.calibration
        seen = set((model.facts or {})["left_out"])
        folds.append((model, [e for e in examples if e.speaker in seen]))
    with tempfile.TemporaryDirectory() as folder:
        programmes(folds, own_ms, options.programmes, random, Path(folder) / "programme.mkv")
        one_speaker(folds, own_ms, options.clips, random, Path(folder) / "part.mkv")


def programmes(folds, own_ms, count: int, random: np.random.Generator, file: Path) -> None:
    """The first table: both kinds."""
    wide = []
    for model, examples in folds:
        longer = [e for e in examples if len(e) >= PART_FRAMES and e.name in own_ms]
        if len({e.speaker for e in longer}) >= NUM_PARTS:
            wide.append((model, longer))
    print("| nine speakers, 3 s each | parts | measured | right | inherited | right |")
    print("| --- | --- | --- | --- | --- | --- |")
    for shared in (True, False):
        tally = Tally()
        for number in range(count):
            model, longer = wide[number % len(wide)]
            parts = draw_parts(longer, shared, random)
            compose(parts, own_ms, file)
            for middle, row, _ in measure(sync_with(model), file):
                tally.add(row, parts[min(middle // PART_FRAMES, len(parts) - 1)].lag_ms)
        print(tally.line("one chain" if shared else "cut from nine recordings"), flush=True)


def one_speaker(folds, own_ms, most: int, random: np.random.Generator, file: Path) -> None:
    """The second table: parts of 3 s of each speaker who has many clips, all late by one lag."""
    print("\n| speaker, parts of 3 s | measured | right | undecided | take the centre | right |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model, examples in folds:
        clips = Counter(e.speaker for e in examples)
        for person in sorted(p for p, n in clips.items() if n > MANY_CLIPS):
            theirs = [e for e in examples if e.speaker == person and len(e) >= PART_FRAMES]
            rows, lag = [], random.uniform(-MAX_PLANT_MS, MAX_PLANT_MS)
            for example in theirs[:: max(1, len(theirs) // most)][:most]:
                compose([Part(example, 0, lag)], own_ms, file)
                rows += [(r, more, lag) for _, r, more in measure(sync_with(model), file)]
            own = [r for r, _, _ in rows if r.offset_status == "measured"]
            right = sum(abs((r.video_lag_ms or 0) - lag) <= NEAR_MS for r in own)
            undecided, taken, near = by_centre(rows)
            print(f"| {person} | {len(own)} | {right} | {undecided} | {taken} | {near} |")


if __name__ == "__main__":
    main()
