"""Means over ok rows, pooled error rates, and an interval that knows about speakers."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.records import Score
from evaluation.statistics import cluster_interval, summarise


def row(i, value, status="ok", speaker=None, **more):
    return Score(
        f"u{i}",
        "stoi",
        value,
        status,
        "s",
        speaker=speaker,
        reason=None if status == "ok" else "why",
        **more,
    )


def test_only_ok_rows_count_and_the_others_are_counted():
    rows = [row(0, 0.5), row(1, 0.7), row(2, None, "silent"), row(3, None, "error")]
    found = summarise(rows)[0]
    assert found.mean == pytest.approx(0.6)
    assert (found.n, found.num_utterances, found.coverage) == (2, 4, 0.5)
    assert found.statuses == {"ok": 2, "silent": 1, "error": 1}
    assert found.reasons == {"why": 2}


def test_nothing_ok_is_no_mean():
    found = summarise([row(0, None, "too_short")])[0]
    assert found.mean is None and found.low is None and found.coverage == 0


def test_error_rates_are_pooled():
    rows = [row(0, 1.0, errors=1, length=1), row(1, 0.0, errors=0, length=9)]
    found = summarise(rows)[0]
    assert found.mean == pytest.approx(0.1)
    assert found.mean_of_utterances == pytest.approx(0.5)


def test_one_speaker_is_no_reason_for_a_narrow_interval():
    """Speakers differ, their utterances hardly: drawing utterances would look sure."""
    rng = np.random.default_rng(0)
    levels = rng.normal(0.6, 0.1, 6)
    rows = [
        row(f"{s}-{i}", levels[s] + rng.normal(0, 0.01), speaker=f"s{s}")
        for s in range(6)
        for i in range(50)
    ]
    found = summarise(rows)[0]
    assert (found.clustered_by, found.num_clusters) == ("speaker", 6)
    assert found.low < levels.mean() < found.high
    values = np.array([r.value for r in rows])
    low, high = cluster_interval(values, np.ones(300), [r.utterance for r in rows])
    assert found.high - found.low > 3 * (high - low)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        values = rng.normal(0, 1, 40)
        low, high = cluster_interval(
            values, np.ones(40), [str(i) for i in range(40)], num_draws=400, seed=trial
        )
        hits += low < 0 < high
    assert 0.88 <= hits / 200 <= 0.99


def test_ways_to_measure_offsets_are_compared():
    from evaluation.metrics.offset_r2 import agreement
    from evaluation.records import Score

    rows = []
    for i in range(5):
        rows += [
            Score(f"u{i}", "a-stoi", 0.9, "ok", "s", shift_ms=20 * i),
            Score(f"u{i}", "lm-offset", 20.0 * i + (-1) ** i, "ok", "s"),
        ]
    rows.append(Score("u9", "lm-offset", None, "error", "s", reason="undecided"))
    there, back = agreement(rows)
    assert (there["measured_by"], there["predicted_by"], there["n"]) == ("frontend", "lm-offset", 5)
    assert 0.99 < there["r2"] < 1 and 0.99 < back["r2"] < 1
    few = agreement(rows[:4])
    assert few[0]["r2"] is None and "three" in few[0]["reason"]
