"""Shards: clips as WebDataset tars with the same bytes every time.

Clips are ordered by a hash of their id, which mixes sources and speakers without a random
number; a shard closes by size or count. Shards once published are never written again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    sizes: dict[str, int],
    config: ShardsConfig,
    first_index: dict[str, int],
) -> list[tuple[str, list[Entry]]]:
    """(relative path, entries) of each new shard; `first_index` is the next free one by split."""
    shards: list[tuple[str, list[Entry]]] = []
    for split in ("train", "val", "test"):
        chosen = sorted(
            (e for e in entries if e.split == split), key=lambda e: order_key(e.clip.clip_id)
        )
        current: list[Entry] = []
        groups, total = [], 0
        for entry in chosen:
            size = sizes[entry.clip.clip_id]
            if current and (len(current) == config.max_samples or total + size > config.max_bytes):
                groups.append(current)
                current, total = [], 0
            current.append(entry)
            total += size
        if current:
            groups.append(current)
        start = first_index.get(split, 0)
        shards += [
            (f"shards/{split}/{split}-{start + i:06d}.tar", group) for i, group in enumerate(groups)
        ]
    return shards


def write_shard(root: Path, work: Path, name: str, entries: Sequence[Entry]) -> list[Sample]:
    """Write `root/name` atomically from the clips' side files, and the index beside it; the rows of
    its samples."""
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
        write_samples(stream, samples())
    SampleIndex.scan(root / name).write()
    return rows
