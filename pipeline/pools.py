"""Worker pools: actors of one kind, replaced when they die or run out of time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import ray

from pipeline.work_files import WorkFiles
from pipeline.workers import Done, Job, StageWorker


@dataclass(frozen=True)
class PoolSize:
    """How many workers a pool has and what each holds."""

    workers: int
    cpus: float
    gpus: float


@dataclass
class Running:
    """A job in a worker."""

    job: Job
    worker: Worker
    deadline: float
    started: float = field(default_factory=time.monotonic)


@dataclass
class Worker:
    actor: Any
    name: str
    pool: str


@dataclass(frozen=True)
class Ended:
    """How a job ended: `done`, or the reason it broke (crash, timeout, memory, error)."""

    running: Running
    done: Done | None
    reason: str | None = None
    detail: str = ""


class Pools:
    """Hands jobs to idle workers and tells how they ended.

    Workers start when first needed. A dead worker is replaced by the next `idle` call; the
    pool's number bounds how many exist at a time.
    """

    def __init__(self, files: WorkFiles, fence: int, sizes: dict[str, PoolSize],
                 node_cache_gb: float = 50.0) -> None:
        self._files, self._fence, self._sizes = files, fence, sizes
        self._node_cache_gb = node_cache_gb
        self._idle: dict[str, list[Worker]] = {name: [] for name in sizes}
        self._count = dict.fromkeys(sizes, 0)
        self._serial = 0
        self._running: dict[Any, Running] = {}

    @property
    def num_running(self) -> int:
        return len(self._running)

    def running_jobs(self) -> list[Job]:
        return [running.job for running in self._running.values()]

    def has_room(self, pool: str) -> bool:
        return bool(self._idle[pool]) or self._count[pool] < self._sizes[pool].workers

    def start(self, pool: str, job: Job, timeout_s: float) -> None:
        """Give `job` to an idle worker of `pool`; call only when there is room."""
        worker = self._idle[pool].pop() if self._idle[pool] else self._new_worker(pool)
        reference = worker.actor.run.remote(job)
        self._running[reference] = Running(job, worker, time.monotonic() + timeout_s)

    def _new_worker(self, pool: str) -> Worker:
        self._serial += 1
        self._count[pool] += 1
        size, name = self._sizes[pool], f"{pool}-{self._fence}-{self._serial}"
        actor = StageWorker.options(num_cpus=size.cpus, num_gpus=size.gpus).remote(
            self._files, self._fence, name, self._node_cache_gb
        )
        return Worker(actor, name, pool)

    def wait(self, timeout_s: float) -> list[Ended]:
        """Jobs that ended within `timeout_s`, those that ran out of time included."""
        if not self._running:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if ready:  # take all that is ready, not one a round
            ready, _ = ray.wait(
                list(self._running), num_returns=len(self._running), timeout=0
            )
        ended = [self._collect(reference) for reference in ready]
        now = time.monotonic()
        for reference in [r for r, x in self._running.items() if now > x.deadline]:
            running = self._running.pop(reference)
            self._drop(running.worker)
            limit = running.deadline - running.started
            ended.append(Ended(running, None, "timeout", f"no end within {limit:.0f} s"))
        return ended

    def _collect(self, reference: Any) -> Ended:
        running = self._running.pop(reference)
        try:
            done = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            # The stage's own faults are results; this is a fault around it (say, pickling).
            self._idle[running.worker.pool].append(running.worker)
            return Ended(running, None, "error", str(error)[-2000:])
        except ray.exceptions.RayError as error:
            self._drop(running.worker)
            note = self._files.read(f"tmp/{running.worker.name}.memory")
            if note is not None:
                return Ended(running, None, "memory", note)
            return Ended(running, None, "crash", _first_lines(str(error)))
        self._idle[running.worker.pool].append(running.worker)
        return Ended(running, done)

    def _drop(self, worker: Worker) -> None:
        self._count[worker.pool] -= 1
        ray.kill(worker.actor)

    def close(self) -> None:
        """End all workers, also those at work."""
        for worker in [w for ws in self._idle.values() for w in ws]:
            ray.kill(worker.actor)
        for running in self._running.values():
            ray.kill(running.worker.actor)
        self._running.clear()


def _first_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:6])[:600]
