"""Shards read from beginning to end by webdataset, with our views: where seeking costs much.

For pipes (`pipe:aws s3 cp ... -`), slow disks, and trainers that have loops of their own. It is
webdataset's order: whole shards go to ranks and workers, so each of them needs one
(`shards.min_per_split`), rows are mixed within a window, and a run that is resumed begins its epoch
anew. The `Loader` has none of these limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.order import key_of

if TYPE_CHECKING:
    from webdataset import DataPipeline

WINDOW = 100
"""Samples that are mixed; each stays in memory as its shard has it, some 200 kB."""


@dataclass(frozen=True)
class _Decoded:
    """What a model makes of what webdataset read; chance comes from (seed, epoch, key)."""

    decode: Callable[[ShardSample, Row], Example]
    seed: int
    epoch: int

    def __call__(self, read: Mapping[str, object]) -> dict[str, object]:
        key = str(read["__key__"])
        members = {n: c for n, c in read.items() if isinstance(c, bytes)}
        sample = ShardSample(key.rpartition("/")[2], members, str(read.get("__url__", "")))
        index = int.from_bytes(key_of("key", key)[:6], "big")
        row = Row(index, self.seed, 0, self.epoch, index, 0)
        return {"key": sample.key, **self.decode(sample, row)}


def stream(
    shards: Sequence[Path | str],
    decode: Callable[[ShardSample, Row], Example],
    seed: int = 0,
    epoch: int = 0,
    window: int = WINDOW,
) -> DataPipeline:
    """An iterable dataset of one epoch's examples, each with its `key`; for `webdataset.WebLoader`
    or torch's `DataLoader(batch_size=None)`.

    `shards` are files, addresses or `pipe:` commands as webdataset takes them; `decode` is a view's
    or a model's. `window` 1 keeps the shards' own order. Raises ValueError for no shards; a damaged
    shard ends the pass with webdataset's own error.
    """
    import webdataset

    if not shards:
        raise ValueError("no shards to read; give those of a corpus, such as shards/train/*.tar")
    # Of the seed and the epoch alone: all ranks must deal the same order.
    order = int.from_bytes(key_of("stream", seed, epoch)[:4], "big")
    mixed = [webdataset.shuffle(window, seed=order)] if window > 1 else []
    names = webdataset.SimpleShardList([str(s) for s in shards], seed=order if window > 1 else None)
    return webdataset.DataPipeline(
        names,
        webdataset.split_by_node,
        webdataset.split_by_worker,
        webdataset.tarfile_to_samples(),
        *mixed,
        webdataset.map(_Decoded(decode, seed, epoch)),
    )
