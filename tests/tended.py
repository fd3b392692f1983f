"""Whole corpora of made-up records with real samples: all that a build leaves, and no stage ran."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from manifests import ids
from manifests import records as rec
from manifests.files import write_atomic
from manifests.media.encode import encode_flac, encode_video
from manifests.sample_json import MEMBERS, typed
from manifests.shards import ShardSample, write_samples
from pipeline.build.publish import publish
from pipeline.config.build_config import BuildConfig
from pipeline.graph import MAIN_JOB
from pipeline.run import status
from pipeline.run.ledger import Entry, Ledger, Result
from pipeline.storage.own_folder import claim
from pipeline.storage.work_files import WorkFiles
from tests.factories import blank

FRAMES = 40
"""Of each clip; a video has one."""
LONGER = 12
"""Frames of a take beyond a clip."""
CHANGES_HZ = 12


@dataclass(frozen=True)
class Shown:
    """One video: who speaks in it, what is heard and seen, and where it came from."""

    name: str
    person: int = 0
    take: int = 0
    """Another take is another sentence."""
    start_frame: int = 0
    """Frames of the take that were cut off."""
    noise: float = 0.0
    """Of a poor codec, beside the sound."""
    face_take: int | None = None
    """Of another face under the same sound."""
    folder: str = "https://videos.example/watch?v="

    @property
    def address(self) -> str:
        return f"{self.folder}{self.name}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def video_id(self) -> str:
        return ids.video_id(None, None, self.sha256)

    @property
    def source_id(self) -> str:
        return f"v{ids.hash_id(self.address)}"

    @property
    def request_id(self) -> str:
        return f"r{ids.hash_id(self.address)}"


def sound_of(shown: Shown) -> np.ndarray:
    """int16 of a clip: noise whose bands come and go, as in speech."""
    chance = np.random.default_rng(1000 + shown.take)
    total = 640 * (FRAMES + LONGER)
    spectrum = np.fft.rfft(chance.normal(size=total + 16000))
    hz = np.fft.rfftfreq(total + 16000, 1 / 16000)
    made = np.zeros(total)
    for low in range(250, 2100, 120):
        band = np.fft.irfft(spectrum * ((hz >= low) & (hz < low + 120)))[:total]
        knots = chance.uniform(0, 1, total * CHANGES_HZ // 16000 + 2) ** 3
        made += band * np.interp(np.arange(total) * CHANGES_HZ / 16000, range(len(knots)), knots)
    first = 640 * shown.start_frame
    made = made[first : first + 640 * FRAMES] / np.abs(made).max()
    made = made + shown.noise * np.random.default_rng(len(shown.name)).normal(size=len(made))
    return (made * 12000).clip(-32768, 32767).astype(np.int16)


def landmarks_of(shown: Shown) -> np.ndarray:
    """float32 [T, 68, 2]: a mouth that opens and closes."""
    take = shown.take if shown.face_take is None else shown.face_take
    chance = np.random.default_rng(2000 + take)
    steps = np.cumsum(chance.normal(size=(FRAMES + LONGER, 20, 2)), 0)
    points = np.tile(np.linspace(60, 200, 136).reshape(68, 2), (len(steps), 1, 1))
    points[:, 48:] += steps
    jitter = np.random.default_rng(7).normal(scale=0.2, size=points.shape)
    first = shown.start_frame
    return (points + jitter)[first : first + FRAMES].astype(np.float32)


@cache
def picture() -> bytes:
    """MP4 of one face that does not move."""
    rows = np.linspace(40, 200, 256).astype(np.uint8)
    frame = np.repeat(np.repeat(rows[:, None, None], 256, 1), 3, 2)
    return encode_video([frame] * FRAMES)[0]


def face_of(person: int) -> list[float]:
    """An embedding; persons are about 1.4 apart."""
    made = np.zeros(128)
    made[person % 128] = 1.0
    return made.tolist()


class Tended:
    """A corpus at `root` of the videos `shown`, with a ledger, side files, media and a log."""

    def __init__(self, root: Path, shown: list[Shown], config: BuildConfig | None = None) -> None:
        self.root, self.shown, self.config = root, shown, config or BuildConfig()
        claim(root, "corpus")
        self.files = WorkFiles(root / "work")
        self.work = self.files.folder
        self.entries: dict[str, dict[str, Entry]] = {node.name: {} for node in MAIN_JOB}
        for one in shown:
            self._one(one)
        ledger = Ledger(self.work / "ledger")
        for node in MAIN_JOB:
            for entry in self.entries[node.name].values():
                ledger.put(entry, node.outputs)
        ledger.close()
        requests = [
            asdict(rec.Request(s.request_id, s.address, "link", "links.txt")) for s in shown
        ]
        write_atomic(self.work / "requests.json", json.dumps(requests))
        lines = [{"event": "finished", "unit": s.video_id, "source": s.address} for s in shown]
        write_atomic(self.work / "log.jsonl", "".join(json.dumps(x) + "\n" for x in lines))
        write_atomic(self.work / "status.json", json.dumps(self.status()))

    def status(self) -> list[dict[str, Any]]:
        return status.rows(MAIN_JOB, self.entries)

    def publish(self) -> Tended:
        publish(self.root, self.files, self.config, self.entries, self.status())
        return self

    def speaker_of(self, shown: Shown) -> str:
        from manifests.corpus import Corpus

        rows = Corpus(self.root).rows("samples")
        return next(r["speaker_id"] for r in rows if r["video_id"] == shown.video_id)

    def _one(self, shown: Shown) -> None:
        video, shot = shown.video_id, ids.shot_id(shown.video_id, 0)
        track = ids.track_id(shot, 0)
        clip, key = ids.clip_id(track, 0), hashlib.sha256(video.encode()).hexdigest()[:16]
        names = {f: f"{f}/{video}-{key}.npz" for f in ("shots", "tracks")}
        names |= {"clips": f"clips/{clip}-{key}.tar", "media": f"media/{video}.mp4"}
        for folder in ("shots", "tracks", "media"):
            write_atomic(self.work / names[folder], f"{folder} of {shown.name}".encode())
        facts = {"media_path": names["media"], "sha256": shown.sha256, "address": shown.address}
        fetched = blank(
            rec.Fetched,
            source_id=shown.source_id,
            video_id=video,
            num_bytes=1,
            kind="link",
            title=f"Title of {shown.name}",
            **facts,
            caption_paths=[],
        )
        write_atomic(self.work / f"media/{shown.source_id}.json", json.dumps(asdict(fetched)))
        write_atomic(self.work / names["clips"], self._payload(shown, clip, track, shot))
        lists = {"jump_frames", "jump_packets", "jump_shifts_us", "mended_frames"}
        lists |= {"mended_times_us", "notes"}
        whole = {"video_id": video, "shot_id": shot, "track_id": track}
        span = {"start_frame": 0, "end_frame": FRAMES}
        made: dict[str, tuple[str, Any]] = {
            "expand": (
                shown.request_id,
                rec.Source(shown.source_id, shown.request_id, shown.address, "link", "links.txt"),
            ),
            "download": (shown.source_id, fetched),
            "probe": (
                video,
                blank(
                    rec.Video,
                    video_id=video,
                    media_path=names["media"],
                    sha256=shown.sha256,
                    duration_us=40_000 * FRAMES,
                    num_frames=FRAMES,
                    frame_rate="25",
                    **{name: [] for name in lists},
                ),
            ),
            "shots": (
                video,
                blank(rec.Shot, shot_id=shot, video_id=video, faces_path=names["shots"], **span),
            ),
            "tracks": (
                video,
                blank(
                    rec.Track,
                    **whole,
                    **span,
                    faces_path=names["tracks"],
                    hint_ids=[],
                    hint_start_frames=[],
                    hint_end_frames=[],
                ),
            ),
            "identity": (
                video,
                blank(
                    rec.Identity,
                    **whole,
                    embedder="dlib_resnet-1",
                    embedding=face_of(shown.person),
                    num_chips=1,
                ),
            ),
            "sync": (
                video,
                blank(
                    rec.Offset,
                    **whole,
                    offset_status="undecided",
                    **{
                        f"{name}": []
                        for name in (
                            "window_start_frames",
                            "window_lags_ms",
                            "window_scores",
                            "speech_start_frames",
                            "speech_end_frames",
                        )
                    },
                ),
            ),
            "clips": (
                video,
                blank(
                    rec.Clip,
                    clip_id=clip,
                    **whole,
                    **span,
                    num_frames=FRAMES,
                    payload_path=names["clips"],
                ),
            ),
        }
        inputs = [shown.request_id, shown.source_id, video, video, shot, track, track, track]
        for (stage, (unit, record)), item in zip(made.items(), inputs, strict=True):
            entry = Entry(stage, unit, f"key-{key}", [Result(item, [record])], cpu_s=0.1)
            self.entries[stage][unit] = entry

    @staticmethod
    def _payload(shown: Shown, clip: str, track: str, shot: str) -> bytes:
        landmarks, buffer = io.BytesIO(), io.BytesIO()
        np.save(landmarks, landmarks_of(shown))
        empty = {"text": None, "integer": 0, "number": 0.0, "known_number": None, "words": None}
        facts = {n: empty[m.kind] for n, m in MEMBERS.items() if m.kind != "mask"}
        facts |= {"clip_id": clip, "track_id": track, "shot_id": shot, "num_frames": FRAMES}
        facts |= {"video_id": shown.video_id, "interpolated_frames": [], "frame_rate": "25"}
        members = {
            "face.mp4": picture(),
            "audio.flac": encode_flac(sound_of(shown)),
            "landmarks.npy": landmarks.getvalue(),
            "json": json.dumps(typed(facts)).encode(),
        }
        write_samples(buffer, [ShardSample(clip, members)])
        return buffer.getvalue()


def people(count: int, videos_each: int = 2, first: int = 0) -> list[Shown]:
    """Videos of some persons, each another take."""
    return [
        Shown(f"person-{p}-video-{v}.mp4", p, 10 * p + v)
        for p in range(first, first + count)
        for v in range(videos_each)
    ]
