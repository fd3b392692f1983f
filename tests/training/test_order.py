"""The order of samples is a pure function: every sample once an epoch, whoever reads it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.mixture import EvaluationPlan, Mixture, TrainingPlan, whole_weights
from training.data.order import (
    Permutation,
    generator,
    key_of,
    pass_steps,
    rank_positions,
    sample_at,
)


def order(size: int, seed: int, epoch: int = 0) -> list[int]:
    return [sample_at(size, seed, 0, epoch, position) for position in range(size)]


def test_every_size_up_to_300_is_permuted():
    for size in range(1, 301):
        assert sorted(order(size, seed=size)) == list(range(size))


@given(
    size=st.integers(1, 2**62),
    key=st.binary(min_size=1, max_size=64),
    positions=st.sets(st.integers(0, 2**62), min_size=1, max_size=30),
)
@settings(max_examples=50, deadline=None)
def test_large_sizes_give_other_places_for_other_positions(size, key, positions):
    permuted = Permutation(size, key)
    asked = {position % size for position in positions}
    found = {permuted(position) for position in asked}
    assert len(found) == len(asked) and all(0 <= number < size for number in found)


def test_a_position_outside_is_refused():
    for position in (-1, 7):
        with pytest.raises(IndexError, match=r"not in 0 \.\. 6"):
            Permutation(7, b"key")(position)
    with pytest.raises(ValueError, match="at least one"):
        Permutation(0, b"key")


def test_seeds_and_epochs_give_orders_of_their_own_that_favour_none():
    assert order(100, 1) != order(100, 2) and order(100, 1) != order(100, 1, epoch=1)
    counts = Counter(tuple(order(3, seed)) for seed in range(6000))
    assert len(counts) == 6 and max(abs(n - 1000) for n in counts.values()) < 150  # 5 deviations
    places = np.zeros((7, 7))
    for seed in range(4200):
        places[range(7), order(7, seed)] += 1
    assert np.abs(places - 600).max() < 120
    neighbours = np.diff([sample_at(10_000, 3, 0, 0, p) for p in range(2000)])
    assert (np.abs(neighbours) < 100).mean() < 0.05  # 2 % of a true shuffle's


def test_the_order_is_the_same_in_every_release():
    """A change here ends every training that is to be resumed: raise the state's version."""
    assert order(10, seed=7) == GOLDEN_ORDER
    assert generator(7, 0, 1, 2, "crop").integers(0, 1000, 4).tolist() == GOLDEN_DRAWS
    assert [Mixture((5, 9), (3, 1), 7).row(p).corpus for p in range(12)] == GOLDEN_CORPORA


GOLDEN_ORDER = [0, 1, 7, 3, 4, 2, 6, 5, 9, 8]
GOLDEN_DRAWS = [705, 911, 781, 246]
GOLDEN_CORPORA = [1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0]


def test_chance_depends_on_its_place_and_purpose_alone():
    def first(*words) -> float:
        return generator(*words).random()

    assert first(1, 0, 2, 3, "crop") == first(1, 0, 2, 3, "crop")
    places = [
        (1, 0, 2, 3),
        (2, 0, 2, 3),
        (1, 1, 2, 3),
        (1, 0, 3, 3),
        (1, 0, 2, 4),
        (1, 0, 2, 2**40),
    ]
    assert len({first(*place, purpose) for place in places for purpose in ("", "a", "b")}) == 18
    assert key_of(1, 23) != key_of(12, 3) and key_of("1", 2) != key_of(1, 2)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 200), st.integers(0, 300))
def test_passes_follow_each_other_without_gap(num_rows, batch, first_row, step):
    steps = pass_steps(step, num_rows, batch, first_row)
    assert step in steps
    assert pass_steps(steps.stop, num_rows, batch, first_row).start == steps.stop
    assert {(first_row + s * batch) // num_rows for s in steps} == {
        (first_row + step * batch) // num_rows
    }


def test_the_last_batch_of_an_epoch_is_filled_by_the_next_epoch():
    """Seven samples, batches of three: no row is dropped, repeated or padded."""
    plan = TrainingPlan(Mixture((7,), (1,), seed=1), global_batch=3)
    assert [list(plan.pass_of(s, 0)) for s in (0, 3, 5)] == [[0, 1, 2], [3, 4], [5, 6]]
    epochs = [[plan.row(p).epoch for p in range(3 * s, 3 * s + 3)] for s in range(7)]
    assert epochs[2] == [0, 1, 1] and epochs[4] == [1, 1, 2]
    rows = [plan.row(p) for p in range(21)]
    for epoch in range(3):
        assert sorted(r.number for r in rows if r.epoch == epoch) == list(range(7))
    fixed = TrainingPlan(plan.mixture, 3, steps_per_pass=2)
    assert [list(fixed.pass_of(s, 0)) for s in (0, 1, 2)] == [[0, 1], [0, 1], [2, 3]]


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_ranks_share_the_rows_of_a_step(world_size):
    rows = [rank_positions(40, 8, rank, world_size) for rank in range(world_size)]
    assert sorted(p for share in rows for p in share) == list(range(40, 48))


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 6)), min_size=1, max_size=4),
    st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_a_mixture_is_exact_and_each_corpus_has_its_own_epochs(parts, seed):
    sizes, weights = (tuple(x) for x in zip(*parts, strict=True))
    mixture = Mixture(sizes, weights, seed)
    blocks, length = 30, sum(mixture.weights)
    rows = [mixture.row(position) for position in range(blocks * length)]
    for begin in range(0, len(rows), length):
        found = Counter(row.corpus for row in rows[begin : begin + length])
        assert [found[c] for c in range(len(sizes))] == list(mixture.weights)
    for corpus, size in enumerate(sizes):
        own = [row for row in rows if row.corpus == corpus]
        assert [row.epoch * size + row.index for row in own] == list(range(len(own)))
        for begin in range(0, len(own) - size + 1, size):
            epoch = own[begin : begin + size]
            assert sorted(row.number for row in epoch) == list(range(size))


def test_three_to_one_is_so_to_the_sample_and_for_every_rank():
    mixture = Mixture((50, 20), (3, 1), seed=4)
    corpora = [mixture.row(position).corpus for position in range(4000)]
    assert Counter(corpora) == {0: 3000, 1: 1000}
    for world_size in (2, 4, 16):  # a rank whose stride is the block's must see both
        for rank in range(world_size):
            own = corpora[rank::world_size]
            assert abs(sum(own) / len(own) - 0.25) < 0.12


def test_weights_are_ratios():
    assert whole_weights([6, 2]) == whole_weights([0.75, "0.25"]) == (3, 1)
    assert whole_weights([0.7, 0.3]) == (7, 3) and whole_weights([5]) == (1,)
    with pytest.raises(ValueError, match="not positive"):
        whole_weights([1, 0])
    with pytest.raises(ValueError, match="round them"):
        whole_weights([0.33333, 0.66667])
    with pytest.raises(ValueError, match="corpus 1 has no samples"):
        Mixture((3, 0), (1, 1), 0)
    with pytest.raises(ValueError, match="2 corpora have 1 weights"):
        Mixture((3, 4), (1,), 0)


def test_resampling_draws_with_replacement():
    mixture = Mixture((10,), (1,), seed=1, is_resampled=True)
    numbers = Counter(mixture.row(position).number for position in range(2000))
    assert len(numbers) == 10 and max(abs(n - 200) for n in numbers.values()) < 70
    assert len({mixture.row(position).number for position in range(10)}) < 10


@pytest.mark.parametrize("sizes", [(7,), (7, 5), (1, 1, 29)])
@pytest.mark.parametrize("batch", [1, 8, 24])
def test_an_evaluation_sees_each_sample_once_and_marks_what_fills_it(sizes, batch):
    plan = EvaluationPlan(Mixture(sizes, (1,) * len(sizes), 0), batch)
    steps = plan.pass_of(0, 0)
    rows = [plan.row(position) for position in range(len(steps) * batch)]
    real = [(row.corpus, row.number) for row in rows if not row.is_padding]
    assert real == [(c, n) for c, size in enumerate(sizes) for n in range(size)]
    assert all(row.is_padding for row in rows[len(real) :]) and len(rows) - len(real) < batch
