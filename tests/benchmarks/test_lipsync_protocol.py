"""The synchrony protocol reads its indices, groups clips, and judges a weight file as it is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import lipsync_programmes as programmes
from benchmarks import lipsync_protocol as bench
from stages.networks.lipsync import LipSync, Towers
from tests.training.test_lipsync_training import speaker
from training.models.lipsync.report import read
from training.models.lipsync.run import read_indices


def test_an_index_names_its_columns(tmp_path):
    index = tmp_path / "INDEX.tsv"
    index.write_text("path\tspeaker\tgroup\na.mp4\tx\tMEAD\n")
    assert read_indices([index])[str(tmp_path / "a.mp4")]["group"] == "MEAD"
    index.write_text("path,speaker\n")
    with pytest.raises(ValueError, match="tab-separated"):
        read_indices([index])


def test_groups_are_the_family_of_the_corpus_and_what_the_face_looks_like(monkeypatch, tmp_path):
    tables = {
        "sources": [{"video_id": v, "address": f"/{v}"} for v in "abc"],
        "tracks": [
            {"video_id": "a", "yaw_deg": -35.0, "median_box_px": 60.0},
            {"video_id": "b", "yaw_deg": 3.0, "median_box_px": 200.0},
            {"video_id": "c", "yaw_deg": 3.0, "median_box_px": 200.0},
        ],
    }

    class Tables:
        def __init__(self, folder):
            pass

        def rows(self, name):
            return tables[name]

    monkeypatch.setattr(bench, "Corpus", Tables)
    index = {
        "/a": {"speaker": "p", "group": "LRS3"},
        "/b": {"speaker": "q", "group": "MEAD"},
        **{f"/x{i}": {"speaker": "many"} for i in range(bench.MANY_CLIPS)},
        "/c": {"speaker": "many"},
    }
    assert bench.groups_of([tmp_path], index) == {
        "/a": ["LRS-like crops", "turned more than 30 degrees", "faces under 80 px"],
        "/b": ["studio"],
        "/c": ["many"],
    }


def test_a_weight_file_is_judged_on_clips_it_never_saw(monkeypatch, tmp_path, capsys):
    random = np.random.default_rng(0)
    model = LipSync(
        [Towers().eval()],
        np.ones(62, np.float32),
        random.random((1920, 24), np.float32),
        12.0,
        0.0,
        np.zeros(8, np.float32),
    )
    model.save(tmp_path / "w.safetensors")
    monkeypatch.setattr(bench, "load", lambda *_: [speaker(i, frames=80) for i in range(2)])
    monkeypatch.setattr(bench, "groups_of", lambda *_: {"/data/p0.mp4": ["web"]})
    out = tmp_path / "out"
    arguments = [str(tmp_path), "--weights", str(tmp_path / "w.safetensors"), "--out", str(out)]
    bench.main([*arguments, "--synchronous", "*p1.mp4", "--threshold", "0.4", "--json"])
    made = json.loads(capsys.readouterr().out)
    three = made["talking"]["3 s"]["all"]
    assert three["windows"] == 4 and three["recorded_in_sync"] <= 2
    assert made["foreign"]["3 s"]["other speaker"]["windows"] == 2
    rows = read((out / "protocol.json").read_text())
    assert {r["confidence"] for r in rows} == {0.5}, "by the file's own calibration"
    assert {r["synchronous"] for r in rows if r["speaker"] == "p0"} == {False}


def test_parts_of_one_chain_share_what_is_planted():
    made = [speaker(i, frames=80) for i in range(3)]
    random = np.random.default_rng(0)
    together = programmes.draw_parts(made, True, random)
    apart = programmes.draw_parts(made, False, random)
    assert len({p.lag_ms for p in together}) == 1 and len({p.lag_ms for p in apart}) == 3
    assert sorted(p.example.name for p in apart) == ["c0", "c1", "c2"]
    assert programmes.fitted(np.ones((90, 160, 3), np.uint8)).shape == (480, 640, 3)
