"""An export, and a corpus, as other people's readers take them, with no code of ours."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import cv2
import pytest

from manifests.corpus import Corpus, shards_of
from manifests.shards import ShardSample, read_samples
from pipeline.export.whole import export_whole
from tests.ffmpeg_libraries import linked
from tests.readable import FRAMES, Readable


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("outsiders") / "my-corpus"
    Readable(root, 24, licence="CC BY 4.0").publish()
    return root


@pytest.fixture(scope="module")
def export(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("export") / "talking"
    export_whole(corpus, out, "huggingface")
    return out


def samples(root: Path) -> dict[str, ShardSample]:
    return {s.key: s for shard in shards_of(root) for s in read_samples(shard)}


def run(code: str, *words: object, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hugging_face_takes_the_export_by_its_card(corpus, export, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    parts = datasets.load_dataset(str(export), streaming=True, cache_dir=str(tmp_path))
    there = samples(export)
    assert there.keys() == samples(corpus).keys() and set(parts) == {"train", "val", "test"}
    keys = {row["__key__"] for part in parts.values() for row in part.select_columns(["__key__"])}
    assert keys == there.keys()
    counts = {name: split.num_examples for name, split in parts["train"].info.splits.items()}
    assert sum(counts.values()) == len(there)


def test_mlcroissant_streams_the_export(export, tmp_path, monkeypatch):
    mlcroissant = pytest.importorskip("mlcroissant", exc_type=ImportError)
    from etils import epath
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", epath.Path(tmp_path / "extract"))
    read = mlcroissant.Dataset(str(export / "dataset.json"))
    assert not read.metadata.ctx.issues.errors
    there = samples(export)
    sounds = {r["sounds/clip_id"].decode(): r["sounds/audio.flac"] for r in read.records("sounds")}
    assert sounds == {key: s.members["audio.flac"] for key, s in there.items()}
    facts = {r["samples/clip_id"].decode(): r["samples/split"] for r in read.records("samples")}
    assert facts.keys() == there.keys()


def test_tables_read_alike_by_pandas_polars_and_duckdb(corpus):
    pandas, polars, duckdb = map(pytest.importorskip, ("pandas", "polars", "duckdb"))
    for table in ("clips", "samples", "offsets", "sources", "videos"):
        rows = Corpus(corpus).rows(table)
        files = f"{corpus}/manifests/{table}/*.parquet"
        by_polars = polars.read_parquet(files)
        by_pandas = pandas.read_parquet(corpus / "manifests" / table)
        by_duckdb = duckdb.sql(f"SELECT * FROM '{files}'").fetchall()
        assert by_polars.height == len(by_pandas) == len(by_duckdb) == len(rows)
        if not rows:
            continue
        assert by_polars.columns == list(by_pandas.columns) == list(rows[0])
        assert by_polars.to_dicts() == rows
        for name in rows[0]:
            missing = [row[name] is None for row in rows]
            assert by_pandas[name].isna().tolist() == missing or isinstance(rows[0][name], list)
    (lags,) = duckdb.sql(
        f"SELECT count(*), count(video_lag_ms) FROM '{corpus}/manifests/clips/*.parquet'"
    ).fetchall()
    measured = [row["video_lag_ms"] for row in Corpus(corpus).rows("clips")]
    assert lags == (len(measured), sum(x is not None for x in measured))


TORCHCODEC = """
import json, sys
from pathlib import Path
try:
    from torchcodec.decoders import VideoDecoder
except (ImportError, RuntimeError, OSError) as error:
    print(json.dumps("torchcodec: " + str(error).splitlines()[0]))
    raise SystemExit
told = {}
for path in sorted(Path(sys.argv[1]).glob("*.mp4")):
    frames = VideoDecoder(path).get_frames_in_range(0, len(VideoDecoder(path)))
    red = frames.data[:, 0].float().mean(dim=(1, 2)).tolist()
    told[path.stem] = [len(frames.data), frames.pts_seconds.tolist(), red]
print(json.dumps(told))
"""


def test_readers_count_the_same_frames_at_the_same_times(corpus, tmp_path):
    """PyAV, OpenCV and, where it is installed, torchcodec: as many as the sample says, at k / 25 s,
    and the same pictures in the same order."""
    there = dict(list(samples(corpus).items())[:3])
    for key, sample in there.items():
        content = sample.members["face.mp4"]
        (tmp_path / f"{key}.mp4").write_bytes(content)
        with av.open(io.BytesIO(content)) as container:
            frames = list(container.decode(video=0))
        assert len(frames) == sample.facts["num_frames"] == FRAMES
        assert [f.time for f in frames] == pytest.approx([k / 25 for k in range(FRAMES)])
        video, count = cv2.VideoCapture(str(tmp_path / f"{key}.mp4")), 0
        assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == FRAMES
        while (read := video.read())[0]:
            ours = frames[count].to_ndarray(format="bgr24").astype(int)
            assert abs(ours - read[1]).mean() < 2
            count += 1
        assert count == FRAMES
    pytest.importorskip("torchcodec", exc_type=ImportError)
    told = json.loads(run(TORCHCODEC, tmp_path, **linked(tmp_path / "libraries")))
    if isinstance(told, str):
        pytest.skip(told)
    for key, sample in there.items():
        count, times, red = told[key]
        assert count == FRAMES and times == pytest.approx([k / 25 for k in range(FRAMES)], abs=1e-3)
        assert red == pytest.approx([f[..., 0].mean() for f in sample.faces()], abs=1.5)


def test_energon_prepares_the_export(corpus, tmp_path):
    """By its own command, as `prepare.sh` calls it, and nobody asks a question."""
    pytest.importorskip("megatron.energon")
    assert shutil.which("energon", path=str(Path(sys.executable).parent)), "no energon beside it"
    out = tmp_path / "out"
    export_whole(corpus, out, "energon")
    before = {p: p.stat().st_mtime_ns for p in corpus.rglob("*")}
    done = subprocess.run(
        ["sh", "prepare.sh"],
        cwd=out,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    info = json.loads((out / ".nv-meta" / ".info.json").read_text())
    counts = dict(Counter(s.facts["split"] for s in samples(corpus).values()))
    assert sum(info["shard_counts"].values()) == sum(counts.values())
    by_part: dict[str, int] = {}
    for shard, count in info["shard_counts"].items():
        part = Path(shard).parent.name
        by_part[part] = by_part.get(part, 0) + count
    assert by_part == counts
    assert {p: p.stat().st_mtime_ns for p in corpus.rglob("*")} == before, "the corpus is as it was"
    code = """
import sys
from megatron.energon import DefaultTaskEncoder, WorkerConfig, get_loader, get_train_dataset
from megatron.energon import Cooker, Sample, basic_sample_keys, edataclass, stateless
@edataclass
class Clip(Sample):
    facts: dict
@stateless
def cook(raw):
    return Clip(**basic_sample_keys(raw), facts=raw["json"])
class Clips(DefaultTaskEncoder):
    cookers = [Cooker(cook)]
clips = get_train_dataset(sys.argv[1], task_encoder=Clips(), batch_size=None, repeat=False,
    shuffle_buffer_size=None, max_samples_per_sequence=None,
    worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0))
print(*sorted(clip.facts["clip_id"] for clip in get_loader(clips)))
"""
    train = sorted(k for k, s in samples(corpus).items() if s.facts["split"] == "train")
    assert run(code, out).split() == train
