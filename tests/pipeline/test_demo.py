"""`yld demo` comes back as planted; its truth moves with the seed."""

from __future__ import annotations

import json
import sys

import pytest

from manifests.corpus import Corpus
from pipeline.corpus.verify import verify
from tests.terminal import at_terminal

pytestmark = pytest.mark.timeout(600)  # beside other whole runs it takes twice its time


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, at_terminal(
        [sys.executable, "-m", "pipeline.cli", "demo", "--seed", "7", "--out", str(out)], 500
    )


def test_all_comes_back_as_planted(demo):
    out, result = demo
    assert result.code == 0, result.text[-4000:]
    assert "all as planted" in result.text
    assert verify(out / "corpus") == []


def test_the_table_knows_when_it_is_wrong(demo):
    from pipeline.demo.compare import compare
    from pipeline.demo.programme import Planted

    out, _ = demo
    truth = [Planted(**p) for p in json.loads((out / "input" / "truth.json").read_text())]
    moved = [
        Planted(
            p.name,
            p.fate,
            [c + 3 for c in p.cuts],
            None if p.offset_ms is None else p.offset_ms + 60,
            p.speakers,
            p.what,
        )
        for p in truth
    ]
    rows = compare(Corpus(out / "corpus"), moved)
    wrong = {r["what"].split(" of ")[0] for r in rows if r["ok"] == "NO"}
    assert {"video lag", "cuts (frame)"} <= wrong


def test_every_input_is_accounted_for(demo):
    corpus = Corpus(demo[0] / "corpus")
    for row in corpus.status():
        assert row["accepted"] + row["rejected"] + row["failed"] == row["inputs"]
    assert len(corpus.rows("requests")) == 8


def test_the_corrected_tracks_measure_near_zero(demo):
    clips = Corpus(demo[0] / "corpus").rows("clips")
    corrected = [c for c in clips if c["applied_lag_ms"]]
    assert corrected
    assert all(
        abs(c["residual_lag_ms"]) <= 20 for c in corrected if c["residual_lag_ms"] is not None
    )


def test_tables_read_without_our_code(demo):
    import duckdb
    import pandas
    import polars

    path = demo[0] / "corpus" / "manifests" / "clips" / "part-000000.parquet"
    count = len(pandas.read_parquet(path))
    assert count == polars.read_parquet(path).height > 0
    assert duckdb.sql(f"select count(*) from '{path}'").limit(1).fetchall()[0][0] == count


def test_the_report_is_one_file_with_clips(demo):
    page = (demo[0] / "corpus" / "report.html").read_text()
    assert "data:video/mp4;base64," in page and "data:image/jpeg;base64," in page
    assert "http://" not in page.replace("http://127.0.0.1", "") and "https://" not in page
