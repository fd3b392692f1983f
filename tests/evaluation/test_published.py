"""The papers' printed rows: which tables stand there, and that none has another one's columns."""

from __future__ import annotations

from collections import Counter

from evaluation.report.published import PUBLISHED, beside


def test_the_tables_that_stand_there():
    found = Counter((row.paper.split()[0], row.table) for row in PUBLISHED)
    wanted = {
        ("Niu", "2"): 9,
        ("Niu", "4"): 4,
        ("Niu", "5"): 6,
        ("Niu", "6"): 6,
        ("Niu", "7"): 15,
        ("Vougioukas", "2"): 2,
        ("Vougioukas", "3"): 4,
        ("Vougioukas", "4"): 1,
        ("Ephrat", "2"): 8,
        ("Ephrat", "3"): 6,
        ("Ephrat", "4"): 6,
        ("Ephrat", "5"): 4,
        ("Lip2Speech", "1"): 3,
        ("Lip2Speech", "2"): 1,
    }
    assert found == wanted
    assert len({(r.paper, r.table, r.data, r.model) for r in PUBLISHED}) == len(PUBLISHED)


def test_the_row_to_beat_on_speaker_1():
    first = next(r for r in PUBLISHED if r.paper.startswith("Ephrat") and r.table == "2")
    assert (first.data, first.model) == ("GRID S1", "Lin-synth")
    assert first.values == {"stoi": 0.475, "estoi": 0.263, "pesq": 1.952, "visqol": 3.324}


def test_figures_lie_in_the_range_of_their_metric():
    ranges = {
        "stoi": (0, 1),
        "estoi": (0, 1),
        "pesq": (-0.5, 4.64),
        "visqol": (1, 5),
        "mcd": (0, 100),
        "mos": (1, 5),
        "wer": (0, 1),
        "k-wer": (0, 1),
        "av-confidence": (0, 20),
        "av-offset-frames": (0, 15),
    }
    for row in PUBLISHED:
        for name, value in row.values.items():
            if name.startswith("offset-r2"):
                continue
            bare = name.removeprefix("a-")
            key = next((k for k in (bare, bare.split("-")[0]) if k in ranges), None)
            assert key is not None, name
            low, high = ranges[key]
            assert low <= value <= high, (row, name)


def test_a_table_of_ours_stands_beside_rows_that_share_a_column():
    assert {r.paper for r in beside(["visqol"])} == {"Ephrat et al. 2017"}
    assert all("mos-quality" in r.values for r in beside(["mos-quality"]))
