"""What publishing to an address costs per clip as a corpus grows: requests, CPU and wall seconds.

    python -m benchmarks.publishing --clips 1000,10000,50000 --json

Corpora are those of `benchmarks.growth`; the store is S3 on 127.0.0.1 (`benchmarks.object_store`).
Before they are published all payloads are there and nowhere else, as where other nodes made them.
Then a tenth is added, and published again. CPU seconds are this process's, the client's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.growth import build, requests_of
from benchmarks.object_store import BUCKET, Store, served
from benchmarks.simulated import CLIPS_PER_VIDEO
from pipeline.storage import mirror
from pipeline.storage.work_files import WorkFiles


@dataclass
class Spent:
    """From when it was made."""

    store: Store
    asked: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.asked = self.store.counts()
        self.cpu_s, self.wall_s = time.process_time(), time.monotonic()

    def per_clip(self, num_clips: int) -> dict[str, Any]:
        asked = self.store.counts() - self.asked
        return {
            "cpu_ms": round(1e3 * (time.process_time() - self.cpu_s) / num_clips, 3),
            "wall_ms": round(1e3 * (time.monotonic() - self.wall_s) / num_clips, 3),
            **{name: count for name, count in sorted(asked.items())},
        }


def measure(store: Store, folder: Path, num_clips: int) -> dict[str, Any]:
    """A corpus of so many clips, and a tenth more: milliseconds a new clip, and all requests."""
    address = f"s3://{BUCKET}/n{num_clips}/corpus"
    root, videos = folder / "corpus", num_clips // CLIPS_PER_VIDEO
    rows: dict[str, Any] = {"clips": num_clips}
    had = 0
    for name, count in (("first", videos), ("append", videos + max(1, videos // 10))):
        spent: list[Spent] = []

        def away(spent: list[Spent] = spent) -> None:
            clips = root / "work" / "clips"
            store.take(clips, address.removeprefix(f"s3://{BUCKET}/") + "/work/clips")
            shutil.rmtree(clips)
            spent.append(Spent(store))

        build(root, requests_of(count), address, before_publishing=away)
        files = WorkFiles(root / "work", f"{address}/work")
        mirror.push(root, files)
        mirror.send_state(files)
        rows[name] = spent[0].per_clip((count - had) * CLIPS_PER_VIDEO)
        had = count
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", default="1000,10000", help="sizes, by commas")
    parser.add_argument("--folder", type=Path, default=None, help="where the corpora are made")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for size in map(int, asked.clips.split(",")):
        with served() as store, tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            rows.append(measure(store, Path(folder), size))
            if not asked.json:
                print(rows[-1], flush=True)
    if asked.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
