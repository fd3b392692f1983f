"""Streams by webdataset give what the loader gives, each sample once."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import webdataset

from tests.training.corpora import decode, plain
from training.data.mixture import Row
from training.data.samples import Samples
from training.data.stream import stream


def shards_of(root) -> list[str]:
    return sorted(str(p) for p in root.glob("train/*.tar"))


def test_each_sample_comes_once_and_as_the_loader_has_it(tmp_path):
    root = plain(tmp_path, [3, 4, 2])
    samples = Samples.of(root, "train")
    told = {s.key: s for s in samples}
    found = list(stream(shards_of(root), decode, seed=1))
    assert sorted(e["key"] for e in found) == sorted(told)
    for example in found:
        row = Row(0, 0, 0, 0, 0, 0)
        np.testing.assert_array_equal(
            example["frames"], decode(told[example["key"]], row)["frames"]
        )


def test_the_order_is_of_seed_and_epoch_and_a_window_of_one_keeps_it(tmp_path):
    shards = shards_of(plain(tmp_path, [5, 5, 5]))

    def keys(**how) -> list[str]:
        return [e["key"] for e in stream(shards, decode, **how)]

    assert keys(seed=1) == keys(seed=1) != keys(seed=1, epoch=1)
    assert keys(window=1) == sorted(keys(window=1))


def test_chance_is_of_the_epoch_and_the_sample(tmp_path):
    shards = shards_of(plain(tmp_path, [4]))

    def draws(**how) -> dict[str, float]:
        return {e["key"]: e["draw"] for e in stream(shards, decode, **how)}

    assert draws(seed=1) == draws(seed=1, window=1)
    assert draws(seed=1) != draws(seed=1, epoch=1) and len(set(draws().values())) == 4


def test_no_shards_are_refused():
    with pytest.raises(ValueError, match="no shards to read"):
        stream([], decode)


@pytest.mark.slow
def test_workers_share_the_shards(tmp_path):
    root = plain(tmp_path, [3, 4, 2, 1])
    loader = webdataset.WebLoader(
        stream(shards_of(root), partial(decode)),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="spawn",
    )
    assert sorted(e["key"] for e in loader) == [s.key for s in Samples.of(root, "train")]
