"""What a driver takes as its corpus grows: memory and seconds per clip, of corpora without media.

    python -m benchmarks.growth --clips 10000,100000,1000000 --json

The runner, the ledger, what follows a run's events and the publisher are those of a build; the
stages only make records (`benchmarks.simulated`) and run in this process, whose share of the time
is taken off. Each size runs in a process of its own, in a folder that is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.simulated import CLIPS_PER_VIDEO, SIMULATED_JOB
from manifests import records as rec
from manifests.files import write_atomic
from pipeline.build.publish import publish
from pipeline.config.build_config import BuildConfig
from pipeline.run import status
from pipeline.run.engines.engine import PoolSize
from pipeline.run.events import EventLog
from pipeline.run.ledger import Ledger
from pipeline.run.pools import Ended, Running
from pipeline.run.progress import Progress
from pipeline.run.scheduler import Runner
from pipeline.run.stage_runner import Job, StageRunner
from pipeline.run.unit import Policy
from pipeline.storage.own_folder import claim
from pipeline.storage.work_files import WorkFiles

STATUS_INTERVAL_S = 5.0


@dataclass
class HerePools:
    """As `pipeline.run.pools.Pools`, with workers in this process: what was started is done when it
    is waited for."""

    runner: StageRunner
    sizes: dict[str, PoolSize]
    stages_cpu_s: float = 0.0
    _begun: dict[str, list[Job]] = field(default_factory=dict)

    @property
    def num_running(self) -> int:
        return sum(map(len, self._begun.values()))

    def has_room(self, pool: str, alone: bool = False) -> bool:
        return len(self._begun.get(pool, ())) < self.sizes[pool].workers

    def start(self, pool: str, job: Job, timeout_s: float, alone: bool = False) -> None:
        self._begun.setdefault(pool, []).append(job)

    def wait(self, timeout_s: float) -> list[Ended]:
        jobs = [job for begun in self._begun.values() for job in begun]
        self._begun.clear()
        began = time.process_time()
        done = [self.runner.run(job) for job in jobs]
        self.stages_cpu_s += time.process_time() - began
        return [
            Ended(Running(job, None, 0.0, 0.0), one)  # type: ignore[arg-type]
            for job, one in zip(jobs, done, strict=True)
        ]


def requests_of(num_videos: int, first: int = 0) -> list[rec.Request]:
    """Requests for files that nobody opens."""
    return [
        rec.Request(f"r{i:012d}", f"/simulated/{i}.mp4", "file", "simulated")
        for i in range(first, first + num_videos)
    ]


def build(
    root: Path,
    requests: list[rec.Request],
    address: str | None = None,
    workers: int = 16,
    before_publishing: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run and publish; what it took. `address`: of the corpus, for work files that are mirrored.
    `before_publishing` is called between the two, and counts as part of the run."""
    claim(root, "corpus")
    files = WorkFiles(root / "work", f"{address}/work" if address else None)
    write_atomic(root / "work" / "requests.json", json.dumps([vars(r) for r in requests]))
    pools = HerePools(
        StageRunner(files.folder), {name: PoolSize(workers, 1, 0) for name in ("cpu", "net")}
    )
    ledger, began, wall = Ledger(files.folder / "ledger", files), time.process_time(), time.time()
    with open(os.devnull, "w") as nowhere:
        progress = Progress(len(requests), [n.name for n in SIMULATED_JOB], stream=nowhere)
        log = EventLog(files.folder / "log.jsonl", progress.say)
        told = [0.0]

        def seen(event: str, node: Any, item: Any) -> None:
            progress.observe(event, node, item)
            log.observe(event, node, item)
            if time.monotonic() > told[0]:
                told[0] = time.monotonic() + STATUS_INTERVAL_S
                rows = status.rows(SIMULATED_JOB, runner.entries, runner.pending())
                write_atomic(files.folder / "status.json", json.dumps(rows))

        runner = Runner(SIMULATED_JOB, {}, files, ledger, pools, Policy(), observe=seen)  # type: ignore[arg-type]
        with progress:
            entries = runner.run(requests)
        log.ended(None)
    files.flush()
    ledger.settle()
    before_publishing()
    ran = time.process_time() - pools.stages_cpu_s
    done = publish(root, files, BuildConfig(), entries, status.rows(SIMULATED_JOB, entries))
    took = time.process_time() - pools.stages_cpu_s
    ledger.close()
    clips = len(done.samples)
    return {
        "clips": clips,
        "videos": len(requests),
        "driver_cpu_ms_per_clip": round(1e3 * (took - began) / clips, 3),
        "run_cpu_ms_per_clip": round(1e3 * (ran - began) / clips, 3),
        "publish_cpu_ms_per_clip": round(1e3 * (took - ran) / clips, 3),
        "stages_cpu_ms_per_clip": round(1e3 * pools.stages_cpu_s / clips, 3),
        "wall_s": round(time.time() - wall, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _in_a_process(num_clips: int, folder: Path) -> dict[str, Any]:
    place = Path(tempfile.mkdtemp(prefix="growth-", dir=folder))
    try:
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.growth", "--one", str(num_clips), str(place)],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        print(run.stdout.decode().strip(), file=sys.stderr)  # the next size may take hours
        return json.loads(run.stdout)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", default="10000,100000", help="sizes, by commas")
    parser.add_argument("--folder", type=Path, default=None, help="where the corpora are made")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("CLIPS", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        count, place = int(asked.one[0]), Path(asked.one[1])
        print(json.dumps(build(place / "corpus", requests_of(count // CLIPS_PER_VIDEO))))
        return
    folder = asked.folder or Path(tempfile.gettempdir())
    rows = [_in_a_process(int(size), folder) for size in asked.clips.split(",")]
    if asked.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'clips':>9} {'driver ms/clip':>15} {'run':>7} {'publish':>8} {'peak MB':>9}")
    for row in rows:
        run, publishing = row["run_cpu_ms_per_clip"], row["publish_cpu_ms_per_clip"]
        print(
            f"{row['clips']:>9} {row['driver_cpu_ms_per_clip']:>15} {run:>7} {publishing:>8} "
            f"{row['peak_rss_mb']:>9}"
        )


if __name__ == "__main__":
    main()
