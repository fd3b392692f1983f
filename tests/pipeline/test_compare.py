"""`yld compare`: what another setting gave is told by videos and frames, not by ids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from manifests import records as rec
from manifests.schema import TABLES, write_table
from pipeline.cli import main
from pipeline.corpus.compare import compare, matched
from tests.factories import blank, fetched


def clip(video: str, start: int, end: int, lag: float | None = 0.0, name: str = "c") -> rec.Clip:
    return blank(
        rec.Clip,
        clip_id=f"{video}-{name}{start}",
        track_id=f"{video}-t{start}",
        video_id=video,
        start_frame=start,
        end_frame=end,
        num_frames=end - start,
        video_lag_ms=lag,
    )


def corpus(root: Path, clips: list[rec.Clip], videos=("v1", "v2"), rejects=(), seconds=5) -> Path:
    tables = {
        "sources": [fetched(v, f"/x/{v}.mp4") for v in videos],
        "clips": clips,
        "rejects": list(rejects),
        "speakers": [blank(rec.Speaker, track_id=c.track_id, speaker_id="s") for c in clips],
    }
    for name, rows in tables.items():
        path = root / "manifests" / name / "part-000000.parquet"
        path.parent.mkdir(parents=True)
        write_table(path, TABLES[name], rows)
    (root / "config.yaml").write_text(f"clips:\n  max_s: {seconds}\n  mode: whole\n")
    row = dict.fromkeys(("inputs", "accepted", "rejected", "failed", "pending"), 1)
    status = {"stages": [{"stage": "shots", "cpu_s_per_video_s": 0.1 * seconds, **row}]}
    (root / "manifests" / "status.json").write_text(json.dumps(status))
    return root


@pytest.fixture
def two(tmp_path) -> tuple[Path, Path]:
    a = corpus(
        tmp_path / "a",
        [clip("v1", 0, 100, 10.0), clip("v1", 200, 300, None), clip("v2", 0, 50, 4.0)],
    )
    gone = blank(rec.Reject, reason="too_short", stage="clips", item_id="x", video_id="v2")
    b = corpus(
        tmp_path / "b",
        [clip("v1", 5, 100, 18.0, "d"), clip("v1", 200, 300, 3.0), clip("v1", 400, 450, 0.0)],
        rejects=[gone],
        seconds=4,
    )
    return a, b


def test_clips_are_gained_and_lost_by_their_frames(two):
    done = compare(*two)
    assert (done.clips["kept"], done.clips["gained"], done.clips["lost"]) == (2, 1, 1)
    assert (done.clips["gained_s"], done.clips["lost_s"]) == (2.0, 2.0)
    assert [r["clip_id"] for r in done.gained] == ["v1-c400"]
    assert [(r["clip_id"], r["there"]) for r in done.lost] == [("v2-c0", "clips: too_short")]
    assert done.offsets["median_change_ms"] == 8.0 and done.offsets["measured_in_b_alone"] == 1
    assert done.settings == ["clips.max_s: 5 -> 4"]
    assert done.rejects == [{"stage": "clips", "reason": "too_short", "a": 0, "b": 1}]
    assert done.costs == [
        {"stage": "shots", "a_cpu_s_per_video_s": 0.5, "b_cpu_s_per_video_s": 0.4}
    ]


def test_a_corpus_is_itself(two):
    done = compare(two[0], two[0])
    assert done.clips["kept"] == done.clips["a"] == 3 and not (done.gained or done.lost)
    assert done.offsets["largest_change_ms"] == 0.0 and not done.settings and not done.rejects


def test_a_clip_has_one_partner_the_one_it_shares_most_with():
    halves = [vars(clip("v", 0, 60)), vars(clip("v", 40, 100))]
    pairs, lost, gained = matched([vars(clip("v", 30, 100))], halves)
    assert [b["start_frame"] for _, b in pairs] == [40] and not lost
    assert [r["start_frame"] for r in gained] == [0]


def test_corpora_without_a_video_in_common_cannot_be_compared(two, tmp_path):
    other = corpus(tmp_path / "c", [], videos=("v9",))
    told = CliRunner().invoke(main, ["compare", str(two[0]), str(other)])
    assert told.exit_code == 2 and "no video in common" in told.output


def test_the_command_tells_it_in_words_and_as_json(two):
    told = CliRunner().invoke(main, ["compare", *map(str, two)])
    assert told.exit_code == 0, told.output
    assert "clips: 3 -> 3" in told.output and "clips.max_s: 5 -> 4" in told.output
    as_json = CliRunner().invoke(main, ["compare", *map(str, two), "--json"])
    assert json.loads(as_json.stdout)["clips"]["kept"] == 2
