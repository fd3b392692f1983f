"""Whether a corpus is what it says: checksums, tars, samples, tables, splits."""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from manifests.clock import FRAME_RATE, SAMPLES_PER_FRAME
from manifests.corpus import TABLES, Corpus
from manifests.frames import Frames
from manifests.ids import GRAMMAR
from manifests.plain_words import sentence as plain
from manifests.schema import LATER
from manifests.shards import SampleError, SampleIndex, ShardSample
from pipeline.corpus import checksums
from pipeline.run.steps import Steps
from pipeline.storage.removing import JOURNAL


def verify(root: Path) -> list[dict[str, str]]:
    """Problems as {where, problem}; an empty list means none was found."""
    corpus = Corpus(root)
    problems: list[dict[str, str]] = []

    def say(where: str, problem: str) -> None:
        problems.append({"where": where, "problem": problem})

    def attempt(where: str, look: Callable[[], Any]) -> Any:
        try:
            return look()
        except Exception as error:  # a foreign or damaged file raises almost anything
            say(where, f"cannot be checked: {plain(error)}")
            return None

    if (root / "work" / JOURNAL).exists():
        say(f"work/{JOURNAL}", f"a removal was stopped; `yld remove {root}` completes it")
    checksums.check(root, "", say)
    checksums.check(root / "manifests", "manifests", say)
    attempt("manifests/status.json", lambda: _status(corpus, say))
    readable = [
        name
        for name in TABLES
        if attempt(f"manifests/{name}", partial(corpus.rows, name)) is not None
    ]
    if len(readable) == len(TABLES):  # else what they lack has been told, and joins say nothing
        attempt("manifests", lambda: _tables(corpus, say))
    rows = {r["clip_id"]: r for r in corpus.rows("samples")} if "samples" in readable else {}
    attempt("shards", lambda: _shards(root, rows, say))
    return problems


def _shards(root: Path, rows: dict[str, dict[str, Any]], say) -> None:
    seen: Counter[str] = Counter()
    names = sorted({r["shard"] for r in rows.values()})
    with Steps("verify", len(rows), "samples") as steps:
        for shard in names:
            steps.at(shard)
            _shard(root, shard, rows, seen, say, steps)
    for path in sorted((root / "shards").glob("*/*.tar")):
        if path.relative_to(root).as_posix() not in names:
            say(
                path.relative_to(root).as_posix(),
                "is no shard of this corpus, and readers that "
                "take all of a folder would read it; move it away",
            )
    for key in rows:
        if seen[key] != 1:
            say(key, f"stands {seen[key]} times in the shards, not once")


def _shard(
    root: Path,
    shard: str,
    rows: dict[str, dict[str, Any]],
    seen: Counter[str],
    say,
    steps: Steps,
) -> None:
    path = root / shard
    if not path.is_file():
        say(shard, "the shard is missing; build again")
        return
    try:
        samples = SampleIndex.scan(path)  # what an index says is not the tar
    except Exception as error:  # a damaged tar raises almost anything
        say(shard, f"the tar cannot be read: {plain(error)}")
        return
    for sample in samples:
        seen[sample.key] += 1
        if sample.key not in rows:
            say(f"{shard}/{sample.key}", "the sample is in no manifest")
        else:
            _sample(shard, sample, rows[sample.key], say)
        steps.done()


def _status(corpus: Corpus, say) -> None:
    for row in corpus.status():
        total = row["accepted"] + row["rejected"] + row["failed"] + row["pending"]
        if total != row["inputs"]:
            say(f"stage {row['stage']}", f"{row['inputs']} inputs, {total} accounted for")


def _tables(corpus: Corpus, say) -> None:
    for table in (t for t in TABLES if t not in LATER):
        if not any((corpus.root / "manifests" / table).glob("part-*.parquet")):
            say(f"manifests/{table}", "the table is missing; build again")
    for table, key in (
        ("videos", "video_id"),
        ("shots", "shot_id"),
        ("tracks", "track_id"),
        ("identities", "track_id"),
        ("offsets", "track_id"),
        ("clips", "clip_id"),
        ("samples", "clip_id"),
    ):
        for name, count in Counter(r[key] for r in corpus.rows(table)).items():
            if count > 1:
                say(f"{table}/{name}", f"stands {count} times")
            if not GRAMMAR.fullmatch(name):
                say(f"{table}/{name}", "the id has characters that keys must not have")
    for row in corpus.rows("videos"):
        if row["frame_rate"] != str(FRAME_RATE):  # an older release had a setting for it
            say(
                f"videos/{row['video_id']}",
                f"frame_rate is {row['frame_rate']}, not "
                f"{FRAME_RATE}: picture and sound are out of sync; build it anew elsewhere",
            )
    for child, key, parent in (
        ("shots", "video_id", "videos"),
        ("tracks", "shot_id", "shots"),
        ("offsets", "track_id", "tracks"),
        ("clips", "track_id", "tracks"),
        ("samples", "clip_id", "clips"),
    ):
        have = {r[key] for r in corpus.rows(parent)}
        for row in corpus.rows(child):
            if row[key] not in have:
                say(f"{child}/{row[key]}", f"has no row in {parent}")
    unit = {"speaker": "speaker_id", "source": "video_id"}.get(corpus.splits.get("policy") or "")
    if unit:
        parts: dict[str, set[str]] = {}
        for row in corpus.rows("samples"):
            parts.setdefault(row[unit], set()).add(row["split"])
        for name, found in parts.items():
            if len(found) > 1:
                say(name, f"leaks: {unit} is in {', '.join(sorted(found))}")


def _sample(shard: str, sample: ShardSample, row: dict[str, Any], say) -> None:
    where = f"{shard}/{sample.key}"
    if missing := sample.missing():
        say(where, f"lacks {', '.join(missing)}")
        return
    if sample.sha256() != row["sha256"]:
        say(where, "the members differ from the manifest's hash")
    try:
        facts, landmarks, sound = sample.facts, sample.landmarks, sample.sound
        frames = Frames.of(sample)
        counts = (
            {"the frames' codec": len(frames.window(sample))}
            if frames is not None
            else _frame_counts(sample.members["face.mp4"])
        )
    except Exception as error:  # whatever a damaged member raises is the finding
        why = error.why if isinstance(error, SampleError) else plain(error)
        say(where, f"a member cannot be read: {why}")
        return
    frames = facts.get("num_frames")
    if not isinstance(frames, int):
        say(where, f"json says num_frames {frames!r}, which is no number of frames")
        return
    if len(sound) != SAMPLES_PER_FRAME * frames:
        say(where, f"{len(sound)} samples for {frames} frames, not 640 each")
    for reader, count in counts.items():
        if count != frames:
            say(where, f"{reader} reads {count} frames, json says {frames}")
    if landmarks.shape != (frames, 68, 2) or landmarks.dtype != np.float32:
        say(where, f"landmarks are {landmarks.dtype} {landmarks.shape}")
    elif not np.isfinite(landmarks).all():
        say(where, "landmarks hold NaN")
    for name in ("clip_id", "video_id", "speaker_id", "split"):
        if facts.get(name) != row[name]:
            say(where, f"json says {name} {facts.get(name)!r}, the manifest {row[name]!r}")


def _frame_counts(content: bytes) -> dict[str, int]:
    """Frames as PyAV (by time) and OpenCV (by index) read them; raises if not 25 fps."""
    import cv2

    with av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.video[0]
        stamps = [(f.pts, f.time_base) for f in container.decode(stream)]
    for index, (pts, base) in enumerate(stamps):
        due_s = index / FRAME_RATE
        if pts is None or base is None or pts * base != due_s:
            seen = "at no time" if pts is None or base is None else f"at {float(pts * base):.4f} s"
            raise ValueError(f"frame {index} is {seen}, not {float(due_s):.4f} s")
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        reader, count = cv2.VideoCapture(file.name), 0
        while reader.grab():
            count += 1
        reader.release()
    return {"PyAV": len(stamps), "OpenCV": count}
