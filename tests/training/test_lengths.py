"""Batches by length: the rows are the mixture's, each once, and their order a pure function."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.corpora import decode, plain
from training.data.lengths import ByLength
from training.data.loader import Loader, Share, mixture_of
from training.data.mixture import Mixture, Row, TrainingPlan
from training.data.samples import Samples
from training.data.state import LoaderState, StateError
from training.data.wanted import Wanted
from training.harness.data import DataConfig, parts_of
from training.harness.fit import plan_of
from training.harness.job import as_samples
from training.harness.recipe import Recipe


def plan(sizes, weights, batch, buckets, seed=3, rows=None) -> TrainingPlan:
    drawn = np.random.default_rng(len(sizes))
    lengths = tuple(drawn.integers(1, 200, size).astype(np.int32) for size in sizes)
    by_length = ByLength(lengths, rows or batch, buckets)
    return TrainingPlan(Mixture(sizes, weights, seed), batch, by_length=by_length)


def what(row: Row) -> tuple[int, int, int, int]:
    return row.corpus, row.epoch, row.index, row.number


parts = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 4)), min_size=1, max_size=3)


@given(parts, st.integers(1, 12), st.integers(1, 5), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_each_pass_has_the_rows_of_the_mixture_each_once(parts, batch, buckets, seed):
    sizes, weights = (tuple(x) for x in zip(*parts, strict=True))
    made = plan(sizes, weights, batch, buckets, seed)
    total = made.mixture.pass_rows
    for begin in range(0, 4 * total, total):
        rows = [made.row(position) for position in range(begin, begin + total)]
        plain_rows = [made.mixture.row(position) for position in range(begin, begin + total)]
        assert sorted(map(what, rows)) == sorted(map(what, plain_rows))
        assert [row.position for row in rows] == list(range(begin, begin + total))


@given(parts, st.integers(1, 12), st.integers(1, 5), st.data())
@settings(max_examples=40, deadline=None)
def test_the_order_depends_on_who_asks_for_what_in_no_way(parts, batch, buckets, data):
    sizes, weights = (tuple(x) for x in zip(*parts, strict=True))
    one, other = (plan(sizes, weights, batch, buckets) for _ in range(2))
    asked = data.draw(st.lists(st.integers(0, 200), max_size=30))
    expected = {position: one.row(position) for position in range(201)}
    assert [other.row(position) for position in asked] == [expected[p] for p in asked]
    assert pickle.loads(pickle.dumps(one)).row(77) == expected[77]


@given(parts, st.integers(1, 12), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_no_row_leaves_its_window(parts, batch, buckets):
    sizes, weights = (tuple(x) for x in zip(*parts, strict=True))
    made = plan(sizes, weights, batch, buckets)
    window = batch * buckets
    for position in range(300):
        place = made.by_length.place(made.mixture, position)
        assert place // window == position // window


def test_batches_are_of_similar_lengths_in_no_order_of_length():
    made = plan((4096,), (1,), 8, 32)
    (lengths,) = made.by_length.num_frames
    batches = np.array(
        [[lengths[made.row(8 * s + r).number] for r in range(8)] for s in range(512)]
    )
    without = lengths[[made.mixture.row(p).number for p in range(4096)]].reshape(512, 8)

    def padding(rows: np.ndarray) -> float:
        return 1 - rows.sum() / (rows.max(1) * 8).sum()

    assert padding(batches) < 0.06 < 0.4 < padding(without)
    first = batches[:, 0].astype(float)
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.15
    other = plan((4096,), (1,), 8, 32, seed=4)
    assert [other.row(p).number for p in range(99)] != [made.row(p).number for p in range(99)]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> list[Samples]:
    root = tmp_path_factory.mktemp("corpora")
    wanted = Wanted(min_frames=1)
    return [Samples.of(plain(root / f"c{n}", [n]), "train", wanted) for n in (29, 7)]


def loader(corpora: list[Samples], batch: int, share=None, rows=8, weights=(3, 1)) -> Loader:
    by_length = ByLength.of(corpora, bucket_rows=rows, window_buckets=2)
    mixture = mixture_of(corpora, weights, seed=3)
    return Loader(corpora, decode, TrainingPlan(mixture, batch, by_length=by_length), share)


def taken(made: Loader, steps: int) -> list[list[tuple[int, str, float]]]:
    found: list[list[tuple[int, str, float]]] = []
    while len(found) < steps:
        for batch in made:
            columns = (batch["position"].tolist(), batch["key"], batch["draw"].tolist())
            found.append(list(zip(*columns, strict=True)))
            if len(found) == steps:
                break
    return found


@given(st.integers(1, 20), st.data(), st.sampled_from([1, 2, 3, 8]), st.sampled_from([1, 2, 4]))
@settings(max_examples=20, deadline=None)
def test_a_resumed_run_is_the_uninterrupted_one(corpora, total, data, before, after):
    done = data.draw(st.integers(0, total - 1))
    firsts = [loader(corpora, 8, Share(rank, before)) for rank in range(before)]
    begun = [taken(first, done) for first in firsts]
    state = json.loads(json.dumps(firsts[0].state_dict()))
    ended = []
    for rank in range(after):
        made = loader(corpora, 8, Share(rank, after))
        made.load_state_dict(state)
        ended.append(taken(made, total - done))
    found = [
        sorted(row for rows in step for row in rows)
        for ranks in (begun, ended)
        for step in zip(*ranks, strict=True)
    ]
    assert found == [sorted(step) for step in taken(loader(corpora, 8), total)]


def test_every_sample_once_an_epoch_at_any_number_of_ranks(corpora):
    for world_size in (1, 2, 3, 8):
        ranks = [
            taken(loader(corpora[:1], 8, Share(r, world_size), weights=[1]), 29)
            for r in range(world_size)
        ]
        keys = [key for _, key, _ in sorted(row for rank in ranks for step in rank for row in step)]
        assert len(keys) == 8 * 29
        for begin in range(0, len(keys), 29):
            assert sorted(keys[begin : begin + 29]) == [f"a-{n:04d}" for n in range(29)]


def test_other_batches_go_on_in_the_same_rows(corpora):
    first = loader(corpora, 8)
    begun = taken(first, 2)
    state = LoaderState.from_json(first.state_dict()).with_global_batch(12)
    second = loader(corpora, 12)
    second.load_state_dict(state.to_json())
    rows = [row for step in begun + taken(second, 4) for row in step]
    assert rows == [row for step in taken(loader(corpora, 8), 8) for row in step]


def test_the_next_epoch_with_another_batch_and_grouping_by_length_is_whole(corpora):
    first = loader(corpora[:1], 8, weights=[1])
    taken(first, 2)
    state = LoaderState.from_json(first.state_dict()).with_global_batch(5, at_next_epoch=True)
    second = loader(corpora[:1], 5, weights=[1])
    second.load_state_dict(state.to_json())
    rows = [row for step in taken(second, 12) for row in step]
    for begin in (0, 29):
        epoch = rows[begin : begin + 29]
        assert [position for position, _, _ in epoch] == list(range(29 + begin, 58 + begin))
        assert sorted(key for _, key, _ in epoch) == [f"a-{n:04d}" for n in range(29)]


def test_another_grouping_is_refused(corpora):
    state = loader(corpora, 8).state_dict()
    with pytest.raises(StateError, match=r"by_length=buckets of 8 rows, 2 a window, .*, not bucke"):
        loader(corpora, 8, rows=16).load_state_dict(state)
    without = Loader(corpora, decode, TrainingPlan(mixture_of(corpora, (3, 1), seed=3), 8))
    with pytest.raises(StateError, match=r"by_length=buckets.*, not None"):
        without.load_state_dict(state)
    older = without.state_dict()
    older.pop("by_length")
    without.load_state_dict(older)


def test_lengths_must_be_known(corpora, tmp_path):
    assert corpora[1].num_frames.tolist() == [1, 2, 3, 4, 5, 6, 7]
    unknown = Samples.of(plain(tmp_path / "c", [3]), "train")
    assert unknown.num_frames is None
    with pytest.raises(ValueError, match=r"lengths of c are not known: .*Wanted\(min_frames=1\)"):
        ByLength.of([unknown], 8)
    with pytest.raises(ValueError, match=r"corpora of \(29,\) samples, the mixture has \(29, 7\)"):
        TrainingPlan(mixture_of(corpora, (3, 1)), 8, by_length=ByLength.of(corpora[:1], 8))
    with pytest.raises(ValueError, match="32 buckets of 0 rows hold nothing"):
        ByLength.of(corpora, 0)


def test_a_training_asks_for_it_by_a_setting(corpora):
    """Its clips are the corpus's without those that judge."""
    root = Path(corpora[0].root)
    parts = parts_of([root], DataConfig(held_out=0.1), Wanted(min_frames=1))
    learnt = as_samples(parts.learnt)

    def spread(by_length: int) -> float:
        plan = plan_of(DataConfig(by_length=by_length), learnt, Recipe(batch=4, seed=1))
        rows = [plan.row(position).number for position in range(len(learnt[0]) // 4 * 4)]
        frames = np.array([learnt[0][number].facts["num_frames"] for number in rows])
        return float(np.ptp(frames.reshape(-1, 4), 1).mean())

    assert spread(4) < 0.5 * spread(0)
