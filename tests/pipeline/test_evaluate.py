"""`yld evaluate` end to end on Ray: tables, ceilings, resuming, and a report that stands alone."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from manifests.media.encode import encode_flac
from pipeline.cli import main
from pipeline.commands.scores import _note
from pipeline.run import cluster
from tests.evaluation.clips import speechlike
from tests.pipeline.test_spoken_clips import untrained
from tests.training.mouths import speaking

METRICS = "stoi,a-stoi,mcd"


@pytest.fixture(scope="module", autouse=True)
def running_ray():
    """One Ray for all runs of this file."""
    import ray

    started = not ray.is_initialized()
    if started:
        cluster.start(None, 2)
    yield
    if started:
        cluster.stop()


def write(path, sound):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_flac(np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two speakers; one hypothesis is late, one silent, one missing, one has no reference."""
    root = tmp_path_factory.mktemp("evaluate")
    for i, name in enumerate(("s1/a", "s1/b", "s2/c", "s2/d")):
        sound = speechlike(1.5, seed=i)
        write(root / "ref" / f"{name}.flac", sound)
        if name == "s1/b":
            sound = 0 * sound
        elif name == "s2/d":
            continue
        write(
            root / "hyp" / f"{name}.flac",
            np.concatenate([np.zeros(800), 0.5 * sound])[: len(sound)],
        )
    write(root / "hyp" / "s3" / "x.flac", speechlike(1.5))
    return root


def weights(path):
    """Of a model that knows in words what it was trained with."""
    from safetensors.numpy import save_file

    about = {
        "version": 1,
        "model": "vid2speech",
        "preset": "tiny",
        "config": {},
        "facts": {"speech_encoder": "own: 4 steps", "mean": [1.0]},
        "data": {},
        "step": 7,
        "code_version": "0",
    }
    save_file({"a": np.zeros(1)}, path, {"yld_model": json.dumps(about)})
    return path


def run(folders, *more):
    result = CliRunner().invoke(
        main,
        [
            "evaluate",
            "--hyp",
            str(folders / "hyp"),
            "--ref",
            str(folders / "ref"),
            "--out",
            str(folders / "out"),
            "--metrics",
            METRICS,
            "--json",
            *more,
        ],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    return {(r["system"], r["metric"]): r for r in json.loads(result.stdout)}, result.stderr


def test_evaluate_and_resume(folders):
    table, log = run(folders)
    out = folders / "out"
    assert "1 hypotheses have no reference: s3/x" in log
    scores = pq.read_table(out / "scores.parquet").to_pylist()
    assert {tuple(r) for r in scores}.pop()[:6] == (
        "utterance",
        "metric",
        "value",
        "status",
        "signature",
        "shift_ms",
    )
    found = {(r["utterance"], r["metric"]): r for r in scores}
    assert len(scores) == len(found) == 4 * 3
    assert found["s1/a", "a-stoi"]["shift_ms"] == -50
    assert found["s1/a", "a-stoi"]["value"] > 0.999 > found["s1/a", "stoi"]["value"]
    assert found["s1/b", "mcd"]["status"] == "silent"
    assert found["s2/d", "stoi"]["reason"] == "there is no hypothesis of this name"
    assert found["s2/c", "stoi"]["speaker"] == "s2"
    row = table["hypothesis", "stoi"]
    assert row["note"].startswith("2 of 4 have no score (1 silent, 1 error): ")
    assert row["note"].endswith("; 1 other reason in scores.json") and len(row["reasons"]) == 2
    values = [r["value"] for r in scores if r["metric"] == "stoi" and r["status"] == "ok"]
    assert (row["n"], row["coverage"], row["clustered_by"]) == (2, 0.5, "speaker")
    assert row["mean"] == pytest.approx(np.mean(values))
    assert table["ground_truth", "mcd"]["mean"] == 0
    assert table["ground_truth", "stoi"]["mean"] == pytest.approx(1)
    assert 0.7 < table["griffin_lim", "stoi"]["mean"] < 0.9999
    ceilings = pq.read_table(out / "ceilings.parquet").to_pylist()
    assert len(ceilings) == 2 * 4 * 3

    page = (out / "report.html").read_text()
    assert "VCA-GAN" in page and "data:audio/flac" in page
    assert "http" not in page.replace("http-equiv", "")

    before = (out / "scores.parquet").read_bytes()
    rows = out / "work" / "rows.jsonl"
    kept = rows.read_bytes()
    again, log = run(folders)
    assert "36 scores were there already" in log
    assert again == table and (out / "scores.parquet").read_bytes() == before

    with_maker, _ = run(folders, "--checkpoint", str(weights(folders / "weights")))
    found = {s: with_maker[s, "stoi"]["signatures"] for s in ("hypothesis", "ground_truth")}
    plain = table["hypothesis", "stoi"]["signatures"][0]
    told = "made_by:vid2speech tiny, 7 steps|speech_encoder:own, 4 steps"
    assert found == {"hypothesis": [f"{plain}|{told}"], "ground_truth": [plain]}

    # Killed while writing: the last line is cut, two are gone.
    rows.write_bytes(b"\n".join(kept.splitlines()[:-2]) + b"\n" + kept[-60:-20])
    write(folders / "hyp" / "s1" / "b.flac", speechlike(1.5, seed=1))
    changed, log = run(folders)
    assert "31 scores were there already" in log  # 2 cut, 3 of the changed file
    assert changed["hypothesis", "stoi"]["n"] == 3
    assert changed["ground_truth", "mcd"] == table["ground_truth", "mcd"]


def test_what_lips_say_of_the_ground_truth_is_explained():
    row = {
        "metric": "lm-offset",
        "n": 3,
        "num_utterances": 3,
        "num_reasons": 0,
        "statuses": {"ok": 3},
        "reasons": {},
    }
    assert "own offset" in _note({**row, "system": "ground_truth"})
    assert "round trip" in _note({**row, "system": "griffin_lim"})
    assert _note({**row, "system": "hypothesis"}) == ""
    assert _note({**row, "system": "ground_truth", "metric": "stoi"}) == ""


def test_a_long_reason_is_cut_at_a_word_in_the_table():
    note = _note(
        {
            "system": "hypothesis",
            "metric": "stoi",
            "n": 0,
            "num_utterances": 2,
            "num_reasons": 1,
            "statuses": {"error": 2},
            "reasons": {"word " * 50: 2},
        }
    )
    assert note.startswith("2 of 2 have no score: word word") and note.endswith("word ...")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hyp", "hyp"], "--hyp and --ref"),
        (["--metrics", "stoy"], "no metric 'stoy'"),
        (["--hyp", "empty", "--ref", "ref"], "no file of"),
        (["--shards", "ref"], "--shards needs --checkpoint"),
        (["--shards", "ref", "--hyp", "hyp"], "takes the place of --hyp and --ref"),
    ],
)
def test_errors_say_what_to_do(folders, arguments, message):
    (folders / "empty").mkdir(exist_ok=True)
    arguments = [str(folders / a) if a in ("hyp", "ref", "empty") else a for a in arguments]
    if "--metrics" in arguments:
        arguments += ["--hyp", str(folders / "hyp"), "--ref", str(folders / "ref")]
    result = CliRunner().invoke(main, ["evaluate", "--out", str(folders / "o"), *arguments])
    assert result.exit_code == 2 and message in result.stderr


def test_a_part_of_a_corpus_is_spoken_and_scored(tmp_path):
    root = speaking(tmp_path / "spoken", num_clips=2, num_frames=40)
    (root / "train").rename(root / "test")
    model = str(untrained(tmp_path / "best.safetensors"))
    words = ["evaluate", "--shards", str(root), "--checkpoint", model, "--metrics", "stoi"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "o"), "--json"])
    assert result.exit_code == 0, result.output
    table = {row["system"]: row for row in json.loads(result.stdout)}
    assert table["hypothesis"]["n"] == 2 and table["ground_truth"]["mean"] > 0.99
    rows = pq.read_table(tmp_path / "o" / "scores.parquet").to_pylist()
    assert {row["utterance"] for row in rows} == {"clip-000", "clip-001"}
    assert all("made_by:vid2speech tiny" in row["signature"] for row in rows)


def test_metrics_are_listed():
    result = CliRunner().invoke(main, ["evaluate", "--list"])
    assert result.exit_code == 0 and "a-stoi" in result.output and "SyncNet" in result.output


def test_all_that_was_written_can_be_cleaned_away(folders, tmp_path):
    import shutil

    from pipeline.corpus.clean import clean

    if not (folders / "out").exists():
        run(folders)
    shutil.copytree(folders / "out", tmp_path / "out")
    removed, left = clean(tmp_path / "out")
    assert removed > 6 and left == []
