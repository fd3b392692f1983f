"""Corpora and pages made from records, for the tests that look at pages: no stage runs for them."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from evaluation.catalogue import parse
from evaluation.mos.page import make_test
from evaluation.records import Score, Utterance
from evaluation.report import write_report as write_scores
from evaluation.statistics import summarise
from manifests import records as rec
from manifests.corpus import Corpus
from manifests.files import write_atomic
from manifests.ids import hash_id
from manifests.media.encode import encode_flac, encode_video
from manifests.schema import TABLES, write_table
from manifests.shards import SampleIndex, ShardSample, write_samples
from pipeline.audit import report as audit_report
from pipeline.config.build_config import BuildConfig, as_yaml
from pipeline.corpus.report import write_report as write_corpus_report
from pipeline.resync.report import write_report as write_resync_report
from pipeline.storage.own_folder import claim
from tests.factories import blank

FRAMES, CLIPS_A_VIDEO = 10, 4
WORDS = ("bin", "lay", "place", "set", "blue", "green", "red", "at", "by", "in", "now", "soon")
STAGES = ("expand", "download", "probe", "shots", "tracks", "identity", "sync", "clips")


def corpus(root: Path, num_clips: int = 60, num_playable: int | None = None) -> Path:
    """A corpus folder with tables of `num_clips` clips, and one shard that holds the first
    `num_playable` of them (all if not given); other rows name a shard that is not there."""
    chance = random.Random(7)
    tables: dict[str, list[Any]] = {name: [] for name in TABLES}
    claim(root, "corpus")
    for number in range(-(-num_clips // CLIPS_A_VIDEO)):
        _video(tables, number, chance)
    playable = {c.clip_id for c in tables["clips"][:num_playable]}
    tables["samples"] = [
        replace(s, shard="shards/train/train-000000.tar")
        if s.clip_id in playable
        else replace(s, shard="shards/train/train-000001.tar")
        for s in tables["samples"][:num_clips]
    ]
    tables["clips"] = tables["clips"][:num_clips]
    tables["rejects"] = [
        rec.Reject("no_face", 0, 1, "no face was found in the shot", "tracks", f"x{i}", "v000001")
        for i in range(3)
    ]
    tables["failures"] = [
        blank(
            rec.Failure,
            stage="download",
            item_id="s9",
            reason="transient",
            exception="HTTP Error 403: Forbidden",
            video_id=None,
        )
    ]
    for table, kind in TABLES.items():
        write_table(root / "manifests" / table / "part-000000.parquet", kind, tables[table])
    _shard(root, tables, playable)
    counts = {"inputs": num_clips, "accepted": num_clips, "rejected": 0, "failed": 0, "pending": 0}
    stages = [{"stage": name, "outputs": num_clips} | counts for name in STAGES]
    for name, text in (
        ("manifests/status.json", _json({"stages": stages})),
        ("manifests/splits.json", _json({"policy": "speaker", "reason": "Split by speaker."})),
        ("config.yaml", as_yaml(BuildConfig())),
        ("dataset.json", _json({"name": "made"})),
    ):
        write_atomic(root / name, text)
    return root


def _video(tables: dict[str, list[Any]], number: int, chance: random.Random) -> None:
    video, speaker = f"v{number:06d}", f"spk-{hash_id('speaker', str(number % 7), length=10)}"
    tables["sources"].append(
        blank(
            rec.Fetched,
            source_id=f"s{video}",
            video_id=video,
            kind="link",
            address=f"https://videos.example/watch?v={video}",
            extractor="Youtube",
            title=f"A talk on subject {number}",
            uploader=f"channel {number % 5}",
        )
    )
    tables["videos"].append(
        blank(rec.Video, video_id=video, duration_us=20_000_000, num_frames=500, frame_rate="25")
    )
    shot, track = f"{video}-s000", f"{video}-s000-t000"
    tables["tracks"].append(
        blank(
            rec.Track,
            track_id=track,
            shot_id=shot,
            video_id=video,
            end_frame=500,
            median_box_px=chance.uniform(60, 300),
            yaw_deg=chance.gauss(0, 15),
            pitch_deg=chance.gauss(0, 8),
            roll_deg=chance.gauss(0, 5),
            sharpness=chance.uniform(20, 400),
        )
    )
    lag = None if number % 9 == 4 else -0.2 if number % 9 == 0 else chance.gauss(40, 90)
    status = "undecided" if lag is None else "measured"
    tables["offsets"].append(
        blank(
            rec.Offset,
            track_id=track,
            video_id=video,
            shot_id=shot,
            offset_status=status,
            video_lag_ms=lag,
            confidence=chance.uniform(0.5, 1),
        )
    )
    tables["speakers"].append(
        blank(rec.Speaker, track_id=track, video_id=video, speaker_id=speaker)
    )
    for k in range(CLIPS_A_VIDEO):
        name = f"{track}-c{k:03d}"
        tables["clips"].append(
            blank(
                rec.Clip,
                clip_id=name,
                track_id=track,
                shot_id=shot,
                video_id=video,
                start_frame=125 * k,
                end_frame=125 * k + FRAMES,
                num_frames=FRAMES + chance.randrange(120),
                video_lag_ms=lag,
                residual_lag_ms=None if lag is None else chance.gauss(0, 12),
                offset_status=status,
                confidence=tables["offsets"][-1].confidence,
                registration_residual_px=chance.uniform(2, 6),
                face_psnr_db=chance.uniform(38, 46),
                speech_share=chance.uniform(0.4, 1),
                text=" ".join(chance.choices(WORDS, k=6)),
            )
        )
        tables["samples"].append(
            blank(rec.Sample, clip_id=name, video_id=video, speaker_id=speaker, split="train")
        )


def _shard(root: Path, tables: dict[str, list[Any]], playable: set[str]) -> None:
    content, sound = encode_video(faces())[0], encode_flac(tone(FRAMES / 25))
    landmarks = _buffer(np.full((FRAMES, 68, 2), 128, np.float32))
    path = root / "shards" / "train" / "train-000000.tar"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as stream:
        write_samples(
            stream,
            [
                ShardSample(
                    name,
                    {
                        "face.mp4": content,
                        "audio.flac": sound,
                        "landmarks.npy": landmarks,
                        "json": b"{}",
                    },
                )
                for name in sorted(playable)
            ],
        )
    SampleIndex.scan(path).write()


def faces(frames: int = FRAMES, size: int = 256) -> list[np.ndarray]:
    """A drawn face whose mouth moves, RGB uint8."""
    made = []
    for i in range(frames):
        picture = np.full((size, size, 3), (60, 110, 150), np.uint8)
        middle, radius = size // 2, size // 3
        head = (radius * 3 // 4, radius)
        cv2.ellipse(picture, (middle, middle), head, 0, 0, 360, (225, 190, 160), -1)
        mouth = (size // 10, 2 + abs(i % 8 - 4) * size // 64)
        cv2.ellipse(picture, (middle, middle + radius // 2), mouth, 0, 0, 360, (120, 30, 40), -1)
        made.append(picture)
    return made


def tone(seconds: float, pitch_hz: float = 220.0) -> np.ndarray:
    """int16 at 16 kHz."""
    times = np.arange(round(seconds * 16000)) / 16000
    return (6000 * np.sin(2 * np.pi * pitch_hz * times)).astype(np.int16)


# -- the pages --------------------------------------------------------------------------------


def report_page(folder: Path) -> Path:
    return write_corpus_report(Corpus(corpus(folder / "corpus")))


def audit_rows(media: Path, count: int = 40) -> list[dict[str, Any]]:
    """Rows of an audit, of spans of `media`; the first two lie far off."""
    chance = random.Random(3)
    rows: list[dict[str, Any]] = []
    for i in range(count):
        has_number = i % 8 != 5
        lag = (-400.0, 320.0)[i] if i < 2 else -0.3 if i == 2 else chance.gauss(5, 25)
        rows.append(
            {
                "path": str(media),
                "clip_id": f"clip-{i:03d}",
                "speaker": f"speaker {i % 3}" if i % 11 else None,
                "start_frame": 0,
                "end_frame": FRAMES,
                "container_lag_ms": 11.0 if i % 4 == 0 else 0.0,
                "estimator": "lipsync",
                "offset_status": "measured" if has_number else ("no_speech", "undecided")[i % 2],
                "video_lag_ms": lag if has_number else None,
                "confidence": chance.uniform(0.6, 1),
                "reason": None if has_number else "confidence 0.31 is below 0.5",
                "heard_s": 2.0,
                "windows_needed": 1 if has_number else None,
                "seconds_needed": 2.0,
            }
        )
    return rows


def audit_page(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    media = folder / "far.mp4"
    media.write_bytes(_with_sound(folder))
    path = folder / "audit.html"
    audit_report.write_report(path, "a corpus", "folder", audit_rows(media), ["lipsync"], folder)
    # How long a test's folder is called depends on how it is run, and with it where lines break.
    path.write_text(path.read_text().replace(str(folder), "/data/talks"))
    return path


def _with_sound(folder: Path) -> bytes:
    from base64 import b64decode

    from pipeline.corpus.report.samples import muxed

    return b64decode(muxed(encode_video(faces())[0], encode_flac(tone(FRAMES / 25))))


def resync_page(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(5)
    fates = ("corrected", "corrected", "corrected_unverified", "left out", "worse")
    rows = []
    for i in range(30):
        fate = fates[i % 5]
        row = dict.fromkeys(("reason", "residual_lag_ms", "applied_drift_ppm", "start_lag_ms"))
        row |= dict.fromkeys(("end_lag_ms", "residual_start_ms", "residual_end_ms"))
        row |= {
            "clip_id": f"a-clip-with-a-long-name-{i:03d}",
            "speaker": f"s{i % 4}",
            "fate": fate,
            "offset_status": "measured" if fate != "left out" else "undecided",
            "video_lag_ms": chance.gauss(120, 60) if fate != "left out" else None,
            "applied_lag_ms": None if fate == "left out" else 120.0,
            "confidence": 0.9,
        }
        if fate in ("corrected", "worse"):
            row["residual_lag_ms"] = chance.gauss(0, 10) if fate == "corrected" else 300.0
        if i == 1:
            row |= {"applied_drift_ppm": 812.5, "start_lag_ms": 40.0, "end_lag_ms": 640.0}
            row |= {"residual_start_ms": -0.2, "residual_end_ms": 4.0}
        if fate not in ("corrected",):
            row["reason"] = "measured again it is off by +300 ms, 40 are allowed"
        rows.append(row)
    rows.append(
        dict.fromkeys(rows[0])
        | {"clip_id": "notes.txt", "fate": "passed over", "reason": "its suffix is no video's"}
    )
    path = folder / "resync.html"
    write_resync_report(path, "a corpus", rows)
    return path


def scores_page(folder: Path) -> Path:
    """A metric of each kind, for three systems."""
    from manifests.files import write_atomic as write

    chance = np.random.default_rng(2)
    names = parse("stoi,a-estoi,pesq,a-mcd,visqol,wer,cer-general,voice,psnr,lse-c,lse-d")
    utterances = []
    for i in range(4):
        sounds = []
        for system in ("ref", "hyp"):
            path = folder / system / f"s{i % 2}" / f"sentence-{i}.flac"
            write(path, encode_flac(tone(0.5, 200 + 40 * i)))
            sounds.append(str(path))
        utterances.append(
            Utterance(f"s{i % 2}/sentence-{i}", *sounds, text="bin blue at f two now")
        )
    rows = {
        system: [
            Score(
                u.utterance,
                name,
                None if (i + k) % 7 == 3 else float(chance.uniform(0, 5)),
                "silent" if (i + k) % 7 == 3 else "ok",
                f"{name}|version:1|sr:16000",
                shift_ms=10 if name.startswith("a-") else None,
                reason="the hypothesis is silent" if (i + k) % 7 == 3 else None,
                speaker=f"s{i % 2}",
                errors=int(chance.integers(0, 6)) if "er" in name else None,
                length=6 if "er" in name else None,
            )
            for k, name in enumerate(names)
            for i, u in enumerate(utterances)
        ]
        for system in ("hypothesis", "ground_truth", "griffin_lim")
    }
    path = folder / "scores.html"
    write_scores(path, rows, {name: summarise(group) for name, group in rows.items()}, utterances)
    return path


def mos_page(folder: Path) -> Path:
    for system, pitch_hz in (("true", 300), ("made", 500)):
        for sample in ("one", "two"):
            write_atomic(folder / system / f"{sample}.flac", encode_flac(tone(0.1, pitch_hz)))
            picture = cv2.imencode(".png", cv2.cvtColor(faces(1)[0], cv2.COLOR_RGB2BGR))[1]
            write_atomic(folder / "faces" / f"{sample}.png", picture.tobytes())
    page = folder / "mos.html"
    make_test(
        page,
        folder / "key.json",
        {s: folder / s for s in ("true", "made")},
        questions=("quality", "intelligibility", "naturalness", "face-voice"),
        num_samples=2,
        faces=folder / "faces",
    )
    return page


PAGES = {
    "report": report_page,
    "audit": audit_page,
    "resync": resync_page,
    "scores": scores_page,
    "mos": mos_page,
}


def main() -> None:
    """`FOLDER CLIPS`: a corpus of so many, of which eight can be played."""
    folder, count = sys.argv[1:]
    corpus(Path(folder), int(count), num_playable=8)


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def _buffer(array: np.ndarray) -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


if __name__ == "__main__":
    main()
