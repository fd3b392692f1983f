"""kill -9 at any moment, run again at once: the same bytes. One CPU or two: the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from manifests.corpus import Corpus
from pipeline.corpus.verify import verify
from pipeline.run import cluster
from pipeline.run.ledger import Ledger
from tests.talking import talking_files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return talking_files(tmp_path_factory.mktemp("inputs"), 3.0)


def command(inputs: Path, out: Path, *settings: str) -> list[str]:
    extra = [x for s in settings for x in ("--set", s)]
    return [sys.executable, "-m", "pipeline.cli", "build", str(inputs), "--out", str(out), *extra]


def run(arguments: list[str], cpus: set[int] | None = None) -> None:
    result = subprocess.run(
        arguments,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=None if cpus is None else lambda: os.sched_setaffinity(0, cpus),
    )
    assert result.returncode == 0, result.stderr[-3000:]


def seal(out: Path) -> str:
    return (out / "SHA256SUMS").read_text()


def entries(out: Path) -> set[tuple[str, str, str]]:
    """Finished work, with what it cost: one that was repeated is another."""
    ledger = Ledger(out / "work" / "ledger")
    found = {(row.stage, row.unit, row.text) for row in ledger.rows()}
    ledger.close()
    return found


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory) -> Path:
    """An uninterrupted build."""
    out = tmp_path_factory.mktemp("whole") / "corpus"
    run(command(inputs, out))
    return out


def test_the_corpus_verifies_and_plain_webdataset_reads_it(whole):
    import webdataset as wds

    assert verify(whole) == []
    shards = [str(p) for p in sorted((whole / "shards").glob("*/*.tar"))]
    samples = list(wds.WebDataset(shards, shardshuffle=False))
    assert {s["__key__"] for s in samples} == {r["clip_id"] for r in Corpus(whole).rows("samples")}
    assert all({"face.mp4", "audio.flac", "landmarks.npy", "json"} <= set(s) for s in samples)


def test_every_clip_is_a_sample_or_has_a_reason(whole):
    corpus = Corpus(whole)
    left_out = {r["item_id"] for r in corpus.rows("rejects") if r["stage"] == "shards"}
    samples = {r["clip_id"] for r in corpus.rows("samples")}
    assert not left_out & samples
    assert left_out | samples == {r["clip_id"] for r in corpus.rows("clips")}


@pytest.mark.parametrize("after_s", [11.0])
def test_killed_and_run_again_gives_the_same_bytes(inputs, whole, tmp_path, after_s):
    out = tmp_path / "corpus"
    process = subprocess.Popen(
        command(inputs, out),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = entries(out)
    run(command(inputs, out))
    assert seal(out) == seal(whole)
    assert before <= entries(out), "finished work was repeated"


@pytest.mark.skipif(cluster.visible_cpus() < 2, reason="needs two CPUs")
def test_one_cpu_gives_the_same_bytes(inputs, whole, tmp_path):
    out = tmp_path / "corpus"
    run(command(inputs, out), cpus={min(os.sched_getaffinity(0))})
    assert seal(out) == seal(whole)


def test_a_setting_reruns_only_what_it_touches_and_sources_append(inputs, whole, tmp_path):
    import shutil

    out, some = tmp_path / "corpus", tmp_path / "some"
    some.mkdir()
    shutil.copy(inputs / "talk0.mp4", some)
    run(command(some, out))
    first = {p.name: p.read_bytes() for p in (out / "shards").glob("*/*.tar")}
    shutil.copy(inputs / "talk1.mp4", some)
    run(command(some, out))
    rows = Corpus(out).rows("samples")
    assert len({r["video_id"] for r in rows}) == 2
    for path in (out / "shards").glob("*/*.tar"):
        if path.name in first:
            assert path.read_bytes() == first[path.name], "an old shard changed"
    before = entries(out)
    # The limit is on what this command names: what the corpus has stays.
    run([*command(some, out, "clips.max_frames=40"), "--limit", "1"])
    assert len({r["video_id"] for r in Corpus(out).rows("samples")}) == 2
    assert {stage for stage, *_ in entries(out) ^ before} == {"clips", "scores"}
    assert max(r["num_frames"] for r in Corpus(out).rows("clips")) <= 40
    assert verify(out) == []


def test_verify_sees_damage(whole, tmp_path):
    import shutil

    copy = tmp_path / "corpus"
    shutil.copytree(whole, copy, ignore=shutil.ignore_patterns("work"))
    shard = next((copy / "shards").glob("*/*.tar"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(content)
    assert any("SHA256SUMS" in p["problem"] for p in verify(copy))
