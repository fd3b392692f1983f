"""Worker pools: workers of one kind, replaced when they die or run out of time."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.run import heartbeat, scratch
from pipeline.run.engines.engine import Engine, JobError, PoolSize, WorkerFacts, WorkerLost
from pipeline.run.health import Watch
from pipeline.run.processes import Owner
from pipeline.run.stage_runner import Done, Job
from pipeline.run.tally import AtWork
from pipeline.run.unit import video_seconds
from pipeline.storage.work_files import WorkFiles

START_S = 120.0
"""Longest time for a worker's process to start, which is not charged to its first job."""


NODE = "node"
VERDICT_S = 45.0
"""Longest wait for the cluster to say whether the node of an unreachable worker lives."""
MOST_STEP_S = 10.0


class SteadyClock:
    """Seconds that this process was there to see: a suspended run has not used its jobs' time."""

    def __init__(self) -> None:
        self._last, self._now = time.monotonic(), 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        self._now += min(now - self._last, MOST_STEP_S)
        self._last = now
        return self._now

    def seen(self) -> float:
        """The same, without a step: for who looks from another thread."""
        return self._now + min(time.monotonic() - self._last, MOST_STEP_S)


@dataclass
class Running:
    """A job in a worker."""

    job: Job
    worker: Worker
    timeout_s: float
    since: float
    """When its worker began with it: a process that only starts does no work yet."""


@dataclass(eq=False)
class Worker:
    actor: Any
    name: str
    pool: str
    starting: Any
    """Ready once its process answers; None from then on."""
    born: float
    num_dead: int
    """Nodes that had died before it was begun."""
    node: str | None = None
    """Id of the node it is on, once it has started."""
    jobs: int = 0
    is_taken: bool = False
    """Its job is to have it alone."""
    is_dead: bool = False
    had_company: bool = False
    """It died with more than one job in hand: nobody knows which one ended it."""


@dataclass(frozen=True)
class Ended:
    """How a job ended: `done`, or the reason it broke (crash, timeout, memory, error), or NODE: its
    node died, which is no fault of the job's."""

    running: Running
    done: Done | None
    reason: str | None = None
    detail: str = ""
    had_company: bool = False
    """It broke together with other jobs of its worker, any of which may be the cause."""


class Pools:
    """Hands jobs to workers with room and tells how they ended.

    Workers start when first needed. A dead worker is replaced when the next job needs one; the
    pool's number bounds how many exist at a time.
    """

    def __init__(
        self,
        engine: Engine,
        files: WorkFiles,
        fence: int,
        sizes: dict[str, PoolSize],
        node_cache_gb: float = 50.0,
        watch: Watch | None = None,
        sizes_now: Callable[[], dict[str, PoolSize]] | None = None,
    ) -> None:
        """`watch` tells of nodes that died, `sizes_now` gives the sizes for those that are left."""
        self.engine, self._files, self._fence, self.sizes = engine, files, fence, sizes
        self._node_cache_gb, self._watch, self._sizes_now = node_cache_gb, watch, sizes_now
        self._owner, self._num_dead = Owner.here(), watch.num_dead() if watch else 0
        self._clock = SteadyClock()
        self._workers: dict[str, list[Worker]] = {name: [] for name in sizes}
        self._serial = 0
        self._running: dict[Any, Running] = {}

    @property
    def num_running(self) -> int:
        return len(self._running)

    def at_work(self) -> list[AtWork]:
        """What workers have in hand, for the progress: asked for from another thread."""
        now, folder = self._clock.seen(), scratch.current().path / "tmp"
        found = []
        for running in list(self._running.values()):
            job, worker = running.job, running.worker
            through = heartbeat.told(worker.name, folder).get(f"{job.stage}/{job.unit}")
            found.append(
                AtWork(
                    job.stage,
                    job.unit,
                    max(0.0, now - running.since),
                    worker.starting is not None,
                    through,
                    video_seconds(job.records, job.earlier.get("video")),
                )
            )
        return found

    def has_room(self, pool: str, alone: bool = False) -> bool:
        """Whether `start` may be called; `alone` for a job that wants a worker to itself."""
        return self._may_grow(pool) or self._with_room(pool, alone) is not None

    def _may_grow(self, pool: str) -> bool:
        return len(self._workers[pool]) < self.sizes[pool].workers

    def _with_room(self, pool: str, alone: bool) -> Worker | None:
        """The worker with least in hand that takes one more job."""
        most = 1 if alone else self.sizes[pool].videos
        fit = [w for w in self._workers[pool] if w.jobs < most and not w.is_taken]
        return min(fit, key=lambda w: w.jobs, default=None)

    def start(self, pool: str, job: Job, timeout_s: float, alone: bool = False) -> None:
        """Give `job` to a worker of `pool`; call only when there is room."""
        worker = self._with_room(pool, alone)
        if worker is None or (worker.jobs and self._may_grow(pool)):
            worker = self._new_worker(pool)
        worker.jobs, worker.is_taken = worker.jobs + 1, alone
        if not alone:  # those who share a worker wait for each other
            timeout_s *= self.sizes[pool].videos
        self._running[self.engine.submit(worker.actor, job)] = Running(
            job, worker, timeout_s, self._clock()
        )

    def _new_worker(self, pool: str) -> Worker:
        self._serial += 1
        size, name = self.sizes[pool], f"{pool}-{self._fence}-{self._serial}"
        facts = WorkerFacts(self._files, self._fence, name, self._node_cache_gb, self._owner)
        actor = self.engine.start(facts, size)
        worker = Worker(
            actor,
            name,
            pool,
            self.engine.is_up(actor),
            self._clock(),
            self._watch.num_dead() if self._watch else 0,
        )
        self._workers[pool].append(worker)
        return worker

    def wait(self, timeout_s: float) -> list[Ended]:
        """Jobs that ended within `timeout_s`, those that ran out of time included."""
        if not self._running:
            time.sleep(timeout_s)
            return []
        ready = self.engine.wait(list(self._running), timeout_s)
        ended = [self._collect(reference) for reference in ready]
        now = self._clock()
        self._wait_for_starts(now)
        ended += self._leave_dead_nodes()
        for reference in [r for r, x in self._running.items() if now > x.since + x.timeout_s]:
            running = self._running.pop(reference)
            self._drop(running.worker)
            ended.append(
                Ended(
                    running,
                    None,
                    "timeout",
                    f"no end within {running.timeout_s:.0f} s",
                    running.worker.had_company,
                )
            )
        return ended

    def _wait_for_starts(self, now: float) -> None:
        starting = {
            x.worker.starting: x.worker
            for x in self._running.values()
            if x.worker.starting is not None
        }
        if not starting:
            return
        ready = self.engine.wait(list(starting), 0.0)
        for running in self._running.values():
            worker = running.worker
            if worker.starting is not None and now < worker.born + START_S:
                running.since = now
        for reference in ready:
            starting[reference].starting = None
            with contextlib.suppress(JobError, WorkerLost):  # its job tells how it ended
                starting[reference].node = self.engine.result(reference)

    def _leave_dead_nodes(self) -> list[Ended]:
        """After nodes died: pools of the size of what is left, and their jobs back, uncharged,
        where a worker is too many now and could never start."""
        if self._watch is None or self._watch.num_dead() == self._num_dead:
            return []
        self._num_dead, ended = self._watch.num_dead(), []
        if self._sizes_now is not None:
            now = self._sizes_now()
            self.sizes = {pool: _within(size, now[pool]) for pool, size in self.sizes.items()}
        for pool, workers in self._workers.items():
            waiting = [w for w in workers if w.starting is not None]
            for worker in waiting[: max(0, len(workers) - self.sizes[pool].workers)]:
                mine = [r for r, x in self._running.items() if x.worker is worker]
                ended += [Ended(self._running.pop(r), None, NODE, "its node died") for r in mine]
                self._drop(worker)
        return ended

    def _collect(self, reference: Any) -> Ended:
        running = self._running.pop(reference)
        try:
            done = self.engine.result(reference)
        except JobError as error:
            # The stage's own faults are results; this is a fault around it (say, pickling).
            self._release(running.worker)
            return Ended(running, None, "error", str(error)[-2000:])
        except WorkerLost as error:
            self._drop(running.worker)
            company = running.worker.had_company
            if self._is_node_dead(running.worker, error):
                return Ended(running, None, NODE, _first_lines(str(error)))
            for reason in ("memory", "device"):
                note = self._files.read(f"tmp/{running.worker.name}.{reason}")
                if note is not None:
                    return Ended(running, None, reason, note, company)
            return Ended(running, None, "crash", _first_lines(str(error)), company)
        self._release(running.worker)
        return Ended(running, done)

    def _is_node_dead(self, worker: Worker, error: WorkerLost) -> bool:
        """Whether the worker went with its node, which is no fault of its job's. Raises
        ClusterLostError where that is the node of the run itself."""
        if self._watch is None:
            return False
        self._watch.check()
        within_s = VERDICT_S if error.is_unsure else 0.0
        return self._watch.died_since(worker.num_dead, worker.node, within_s)

    @staticmethod
    def _release(worker: Worker) -> None:
        worker.jobs, worker.is_taken = worker.jobs - 1, False

    def _drop(self, worker: Worker) -> None:
        if worker.is_dead:  # another of its jobs said so before
            return
        worker.is_dead, worker.had_company = True, worker.jobs > 1
        self._workers[worker.pool].remove(worker)
        self.engine.kill(worker.actor)

    def close(self) -> None:
        """End all workers, also those at work. With Ray lost there is nobody to ask."""
        self._running.clear()
        if self._watch is not None and self._watch.lost is not None:
            return
        for worker in [w for ws in self._workers.values() for w in ws]:
            self.engine.kill(worker.actor)


def _within(size: PoolSize, now: PoolSize) -> PoolSize:
    """As many workers of the old shares, which those that live hold, as fit what is left."""
    if not size.cpus:
        return dataclasses.replace(size, workers=min(size.workers, now.workers))
    fit = int(now.workers * now.cpus / size.cpus + 1e-6)
    return dataclasses.replace(size, workers=max(1, min(size.workers, fit)))


def _first_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:6])[:600]
