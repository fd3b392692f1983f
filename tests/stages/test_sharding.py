"""Clips are dealt into shards by their ids alone; small splits into several, old ones stay."""

from __future__ import annotations

import itertools

import pytest

from manifests import records as rec
from pipeline.run.ledger import digest
from stages.corpus.sharding import Entry, ShardsConfig, order_key, plan_shards
from stages.text.clip_text import ClipText
from tests.factories import blank


def entries(count: int, split: str = "train", word: str = "c") -> list[Entry]:
    return [
        Entry(blank(rec.Clip, clip_id=f"{word}{k}"), "s", split, blank(ClipText))
        for k in range(count)
    ]


def plan(made: list[Entry], first=None, num_bytes: int = 10, **settings) -> dict[str, list[str]]:
    sizes = [num_bytes] * len(made)
    planned = plan_shards(made, sizes, ShardsConfig(**settings), first or {})
    return {name: [e.clip.clip_id for e in group] for name, group in planned}


@pytest.mark.parametrize(
    "count, sizes",
    [
        (0, []),
        (1, [1]),
        (3, [1] * 3),
        (8, [1] * 8),
        (9, [1] * 7 + [2]),
        (22, [2, 3, 3, 3, 2, 3, 3, 3]),
    ],
)
def test_a_small_split_has_a_shard_for_each_of_eight_workers(count, sizes):
    made = plan(entries(count))
    assert list(made) == [f"shards/train/train-{k:06d}.tar" for k in range(len(sizes))]
    assert sorted(map(len, made.values())) == sorted(sizes)
    order = sorted((f"c{k}" for k in range(count)), key=lambda c: order_key(c))
    assert list(itertools.chain(*made.values())) == order


def test_each_split_is_dealt_alone():
    made = plan(entries(20) + entries(2, "val", "v"))
    assert sum(name.startswith("shards/train/") for name in made) == 8
    assert [len(made[f"shards/val/val-{k:06d}.tar"]) for k in range(2)] == [1, 1]


def test_a_shard_of_a_dealt_split_closes_by_size_and_count_too():
    assert all(len(g) == 1 for g in plan(entries(20), max_samples=1).values())
    made = plan(entries(20), min_per_split=3, num_bytes=10, max_bytes=40)
    assert len(made) >= 5 and all(len(g) <= 4 for g in made.values())
    assert len(plan(entries(3), num_bytes=100, max_bytes=40)) == 3, "too large a sample has one"


def test_where_size_and_count_give_enough_shards_they_are_as_they_were():
    made = plan(entries(20), max_samples=2)
    assert made == plan(entries(20), max_samples=2, min_per_split=1) and len(made) == 10


def test_what_is_added_fills_up_to_the_number_and_no_more():
    assert list(plan(entries(20), {"train": 1})) == [
        f"shards/train/train-{k:06d}.tar" for k in range(1, 8)
    ]
    assert list(plan(entries(2), {"train": 1})) == [
        f"shards/train/train-{k:06d}.tar" for k in (1, 2)
    ]
    for there in (7, 8, 30):
        assert list(plan(entries(20), {"train": there})) == [f"shards/train/train-{there:06d}.tar"]


def test_the_plan_depends_on_no_order():
    assert plan(entries(30)) == plan(entries(30)[::-1])


def test_a_corpus_from_before_the_setting_has_the_recipe_it_had():
    """Else the next build would write all of its shards anew."""
    assert digest(ShardsConfig()) == digest({"max_samples": 1000, "max_bytes": 500_000_000})
    assert digest(ShardsConfig(min_per_split=1)) != digest(ShardsConfig())
