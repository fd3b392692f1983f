"""A run's figures for Prometheus: what is told, what is asked for without its libraries."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from manifests.records import Failure, Reject
from pipeline.build.job import build
from pipeline.config.build_config import BuildConfig
from pipeline.run import metrics
from pipeline.run.ledger import Entry, Result
from pipeline.run.voice import METRICS_PORT
from stages.base import SetupError
from tests.factories import blank

BOARD = Path(__file__).resolve().parents[2] / "deploy/grafana/yld.json"


def test_the_board_asks_for_what_is_told_and_for_all_of_it():
    text = BOARD.read_text()
    asked = set(re.findall(r"ray_(yld_[a-z_]+)", text))
    told = {f"{name}_total" for name in metrics.COUNTERS} | set(metrics.GAUGES)
    assert asked == told
    panels = json.loads(text)["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    labels = {tag for _, tags in metrics.COUNTERS.values() for tag in tags}
    assert set(re.findall(r"\{\{(\w+)\}\}", text)) <= labels


@pytest.mark.parametrize(
    ("results", "word"),
    [
        ([Result("a", records=[1]), Result("b", reject=blank(Reject))], "accepted"),
        ([Result("b", reject=blank(Reject))], "rejected"),
        ([Result("a", records=[1]), Result("b", failure=blank(Failure))], "failed"),
    ],
)
def test_a_unit_counts_once(results, word):
    assert metrics.outcome(Entry("tracks", "v", "k", results)) == word


def test_nobody_who_did_not_ask_needs_the_libraries(monkeypatch, tmp_path):
    monkeypatch.setattr(metrics, "WANTED", ("no_such_library",))
    monkeypatch.delenv(METRICS_PORT, raising=False)
    assert metrics.port() is None
    monkeypatch.setenv(METRICS_PORT, "8080")
    with pytest.raises(SetupError, match=r"no_such_library.*\[metrics\]"):
        metrics.port()
    clip = tmp_path / "a.mp4"
    clip.touch()
    with pytest.raises(SetupError, match="no_such_library"):
        build([str(clip)], tmp_path / "corpus", BuildConfig())
    assert not (tmp_path / "corpus").exists(), "a refused build leaves nothing"
    monkeypatch.setattr(metrics, "WANTED", ())
    assert metrics.port() == 8080
