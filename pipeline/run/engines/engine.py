"""What `Pools` asks of whatever holds its workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.run.processes import Owner
from pipeline.run.stage_runner import Job
from pipeline.storage.work_files import WorkFiles
from stages.base import RateLimiter
from stages.sources.download.limiter import LimiterConfig


@dataclass(frozen=True)
class PoolSize:
    """How many workers a pool has and what each holds."""

    workers: int
    cpus: float
    gpus: float
    videos: int = 1
    """Jobs that one worker has in hand at a time, in threads."""
    pictures: int = 16
    """Size of the batches that those share; of no effect for one video."""


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker is told as it starts (`pipeline.run.workers.StageWorker`)."""

    files: WorkFiles
    fence: int
    name: str
    node_cache_gb: float
    owner: Owner


class JobError(Exception):
    """A fault around a job, not of its stage (whose faults are results): its worker lives on."""


class WorkerLost(Exception):
    """The process of the worker ended, or cannot be reached."""

    def __init__(self, text: str, is_unsure: bool = False) -> None:
        """`is_unsure`: it may only be out of reach."""
        super().__init__(text)
        self.is_unsure = is_unsure


class Limiter(RateLimiter, Protocol):
    """One for all workers; it travels in jobs."""

    def num_parked(self) -> int: ...


class Engine(Protocol):
    """Starts workers, gives them jobs, and tells how these ended. What `start` returns is a worker,
    what `submit` and `is_up` return is a call, which can be a key of a dict."""

    def start(self, facts: WorkerFacts, size: PoolSize) -> Any: ...

    def is_up(self, worker: Any) -> Any:
        """A call that ends as the worker's process has started, with the id of its node."""

    def submit(self, worker: Any, job: Job) -> Any: ...

    def wait(self, calls: Sequence[Any], timeout_s: float) -> list[Any]:
        """All that have ended, once one has or the time is over."""

    def result(self, call: Any) -> Any:
        """Of a call that has ended: Done of a job, text of `is_up`. Raises JobError, WorkerLost."""

    def kill(self, worker: Any) -> None:
        """End it with all that it started."""

    def limiter(self, config: LimiterConfig) -> Limiter:
        """The limiter of this run's hosts."""
