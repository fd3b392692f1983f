"""Small corpora of plain shards for the loader's tests, and what is made of their samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from manifests.shards import SampleIndex, ShardSample, write_samples
from training.data.mixture import Row


def plain(root: Path, shard_sizes: Sequence[int], word: str = "a", has_index: bool = True) -> Path:
    """`train/000000.tar` ...: sample k is of k + 1 frames."""
    number = 0
    for shard, size in enumerate(shard_sizes):
        path = root / "train" / f"{shard:06d}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = []
        for _ in range(size):
            facts = {"num_frames": number + 1, "offset_status": "measured" if number % 3 else None}
            members = {"json": json.dumps(facts).encode(), "face.mp4": f"{word}{number}".encode()}
            made.append(ShardSample(f"{word}-{number:04d}", members))
            number += 1
        with open(path, "wb") as file:
            write_samples(file, made)
        if has_index:
            SampleIndex.scan(path).write()
    return root


def decode(sample: ShardSample, row: Row) -> dict[str, np.ndarray | int | float | str]:
    """Frames of the sample's length, and a number that its chance gave it."""
    frames = sample.facts["num_frames"]
    return {
        "frames": np.full((frames, 2), frames, np.uint8),
        "draw": row.random("draw").random(),
        "epoch": row.epoch,
        "text": sample.key.upper(),
    }
