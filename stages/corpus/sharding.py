"""Shards: clips as WebDataset tars with the same bytes every time.

Clips are ordered by a hash of their id, which mixes sources and speakers without a random
number; a shard closes by size or count, and a small split is dealt into several, so that readers
which give each worker whole shards have one for each. Shards once published are never written
again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from manifests.columns import Picked
from manifests.files import atomic_path
from manifests.ids import check_key
from manifests.records import Clip, Sample, col
from manifests.sample_json import typed
from manifests.shards import SampleIndex, ShardSample, index_name, write_samples
from stages.text.clip_text import ClipText


@dataclass(frozen=True)
class ShardsConfig:
    """When a shard closes."""

    max_samples: int = col("most samples in a shard", at_least=1, default=1000)
    max_bytes: int = col("most bytes of members in a shard", "B", at_least=1, default=500_000_000)
    # Not in the recipe at its default: corpora from before it keep the shards they have.
    min_per_split: int = col(
        "fewest shards of a split, as far as it has samples; readers that deal out whole shards "
        "need one for each worker",
        at_least=1,
        default=8,
        in_key="unless_default",
    )


@dataclass(frozen=True)
class Entry:
    """A clip with where it belongs."""

    clip: Clip
    speaker_id: str
    split: str
    text: ClipText


def order_key(clip_id: str) -> bytes:
    """The fixed order of clips."""
    return hashlib.sha256(clip_id.encode()).digest()


def plan_shards(
    entries: Sequence[Entry],
    sizes: Sequence[int],
    config: ShardsConfig,
    first_index: dict[str, int],
) -> list[tuple[str, Sequence[Entry]]]:
    """(relative path, entries) of each new shard; `first_index` is the next free one by split.
    `sizes` are the bytes of `entries`, in their order.

    Shards below `first_index` are there and count for `min_per_split`: a corpus that is added to
    gets what it lacks, and those of one that has enough close by size and count alone.
    """
    of_split: dict[str, array[int]] = defaultdict(lambda: array("q"))
    keys: list[bytes] = []
    for number, entry in enumerate(entries):
        of_split[entry.split].append(number)
        keys.append(order_key(entry.clip.clip_id))
    shards: list[tuple[str, Sequence[Entry]]] = []
    for split in ("train", "val", "test"):
        chosen = array("q", sorted(of_split[split], key=keys.__getitem__))
        start = first_index.get(split, 0)
        groups = _filled(chosen, sizes, config)
        fewest = min(config.min_per_split - start, len(chosen))
        if len(groups) < fewest:
            groups = [g for part in _dealt(chosen, fewest) for g in _filled(part, sizes, config)]
        shards += [
            (f"shards/{split}/{split}-{start + i:06d}.tar", Picked(entries, group))
            for i, group in enumerate(groups)
        ]
    return shards


def _filled(chosen: Sequence[int], sizes: Sequence[int], config: ShardsConfig) -> list[array[int]]:
    """Numbers of entries in their order, into shards as full as they may be."""
    groups: list[array[int]] = []
    total = 0
    for number in chosen:
        size = sizes[number]
        is_full = not groups or len(groups[-1]) == config.max_samples
        if is_full or total + size > config.max_bytes:
            groups.append(array("q"))
            total = 0
        groups[-1].append(number)
        total += size
    return groups


def _dealt(chosen: Sequence[int], count: int) -> list[Sequence[int]]:
    """In their order, into `count` parts whose numbers of samples differ by one at most."""
    edges = [k * len(chosen) // count for k in range(count + 1)]
    return [chosen[low:high] for low, high in zip(edges, edges[1:], strict=False)]


def write_shard(
    root: Path, work: Path, name: str, entries: Sequence[Entry]
) -> tuple[list[Sample], str]:
    """Write `root/name` atomically from the clips' side files, and the index beside it; the rows of
    its samples and the SHA-256 of the shard."""
    rows: list[Sample] = []

    def samples() -> Iterator[ShardSample]:
        for index, entry in enumerate(entries):
            clip = entry.clip
            made = SampleIndex.of(work / clip.payload_path)[check_key(clip.clip_id)]
            made = made.with_facts(
                typed(
                    made.facts
                    | {
                        "num_frames": clip.num_frames,
                        "speaker_id": entry.speaker_id,
                        "split": entry.split,
                        **entry.text.facts(),
                    }
                )
            )
            rows.append(
                Sample(
                    clip.clip_id,
                    clip.video_id,
                    entry.speaker_id,
                    entry.split,
                    name,
                    index,
                    made.num_bytes,
                    made.sha256(),
                )
            )
            yield made

    # A run that is killed between the two leaves a shard without an index, not with another's.
    (root / index_name(name)).unlink(missing_ok=True)
    with atomic_path(root / name) as temporary, open(temporary, "wb") as stream:
        hashed = _Hashed(stream)
        write_samples(cast(BinaryIO, hashed), samples())
    SampleIndex.scan(root / name).write()
    return rows, hashed.sha256.hexdigest()


class _Hashed:
    """A stream for writing that hashes what goes through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.sha256 = stream, hashlib.sha256()
        self.tell = stream.tell

    def write(self, block: bytes) -> int:
        self.sha256.update(block)
        return self._stream.write(block)
