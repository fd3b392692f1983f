"""Milliseconds of a dispatch with 100, 1,000, 10,000 and 100,000 links waiting: pools are full, and
none of them can start.

python -m benchmarks.dispatching [--json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.growth import HerePools
from benchmarks.simulated import SIMULATED_JOB
from manifests import records as rec
from pipeline.run.engines.engine import PoolSize
from pipeline.run.ledger import Ledger
from pipeline.run.scheduler import Runner
from pipeline.run.stage_runner import StageRunner
from pipeline.run.unit import Policy, Unit
from pipeline.storage.work_files import WorkFiles

WAITING, TURNS = (100, 1_000, 10_000, 100_000), 300


def measure(folder: Path, num_waiting: int) -> dict[str, Any]:
    """Links that wait for a download, and half a full house of videos ready for `probe`."""
    pools = HerePools(StageRunner(folder), {"cpu": PoolSize(0, 1, 0), "net": PoolSize(4, 1, 0)})
    runner = Runner(SIMULATED_JOB, {}, WorkFiles(folder), Ledger(folder / "l"), pools, Policy())  # type: ignore[arg-type]
    download, probe = SIMULATED_JOB[1], SIMULATED_JOB[2]
    for i in range(num_waiting):
        source = rec.Source(f"s{i}", f"r{i}", f"https://x/{i}", "link", "simulated")
        runner._queue.push(Unit(download, source.source_id, [source], i))
    for i in range(16):
        fetched = rec.Fetched(f"s{i}", f"v{i}", "/x", "", 1, "", "link", "")
        runner._queue.push(Unit(probe, f"v{i}", [fetched], num_waiting + i))
    looks, began = runner._queue.num_looks, time.process_time()
    for _ in range(TURNS):
        runner._dispatch()
    return {
        "waiting": num_waiting,
        "ms_a_dispatch": round(1e3 * (time.process_time() - began) / TURNS, 4),
        "looks_a_dispatch": (runner._queue.num_looks - looks) / TURNS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), count) for count in WAITING]
    print(json.dumps(rows, indent=1) if as_json else "\n".join(map(str, rows)))


if __name__ == "__main__":
    main()
