"""Plain `webdataset` with several workers reads a small corpus: each sample once.

With one shard it stops ("fewer shards than workers") or gives one worker everything.
"""

from __future__ import annotations

import pytest
import webdataset
from torch.utils.data import get_worker_info

from manifests.corpus import shards_of
from manifests.shards import read_samples
from tests.readable import Readable


def with_worker(sample: dict) -> tuple[str, int]:
    info = get_worker_info()
    return sample["__key__"], -1 if info is None else info.id


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 8])
def test_each_sample_comes_once_at_several_workers(tmp_path, workers):
    root = tmp_path / "c"
    Readable(root, 5).publish()
    shards = shards_of(root)
    clips = webdataset.WebDataset([str(s) for s in shards], shardshuffle=False).map(with_worker)
    loader = webdataset.WebLoader(
        clips, batch_size=None, num_workers=workers, multiprocessing_context="spawn"
    )
    found = [(key, int(worker)) for key, worker in loader]
    assert sorted(key for key, _ in found) == sorted(
        s.key for shard in shards for s in read_samples(shard)
    )
    assert {worker for _, worker in found} == set(range(workers))
