"""Runs jobs in this process: stages, their outcomes and what they cost. Knows nothing of Ray.

Several threads may run jobs at a time; each then has a stage of its own, and only networks that
take batches are shared (`stages.backends.sharing`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import resource
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from manifests import records as rec
from manifests.paths import printable
from pipeline.graph import load_stage
from pipeline.run.ledger import Result, check_outcomes
from stages.backends.devices import is_lost
from stages.backends.sharing import Sharing
from stages.base import Context, PermanentError, RateLimiter, SetupError, Stage, TransientError


@dataclass(frozen=True)
class Job:
    """One batch for a worker: all it needs travels in it."""

    stage: str
    target: str
    config: Any
    unit: str
    key: str
    side_name: str
    records: list[Any]
    memory_gb: float
    earlier: dict[str, Any] = field(default_factory=dict)
    """Records of earlier stages, by field of `Context`."""
    rate_limiter: RateLimiter | None = None
    is_media_needed: bool = False


@dataclass(frozen=True)
class Done:
    """What a worker hands back."""

    results: list[Result]
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_rss_mb: float = 0.0
    decoded_s: float = 0.0
    stop_run: str | None = None
    """Why the whole run must stop (missing tool, full disk), or None."""
    wait_s: float | None = None
    """The unit was not tried: its host is parked for so long."""
    extra: dict[str, float] = field(default_factory=dict)
    """Figures for the table of costs: `worker_s`, and what the stage measured."""


class StageRunner:
    """One for a process; `sharing` if several threads run jobs at a time."""

    def __init__(self, work: Path, sharing: Sharing | None = None) -> None:
        self.work, self.sharing = work, sharing
        self._idle: dict[str, list[Stage]] = defaultdict(list)
        self._lock = threading.Lock()
        self._clock = SharedClock()

    @contextmanager
    def _stage(self, job: Job) -> Iterator[Stage]:
        """A stage that no other thread uses meanwhile. Raises SetupError."""
        idle = self._idle[f"{job.target}|{job.config!r}"]
        with self._lock:
            if idle:
                stage = idle.pop()
            else:
                stage = load_stage(job.target)(job.config)
                stage.sharing = self.sharing
                stage.setup()
        try:
            yield stage
        finally:
            idle.append(stage)

    def run(self, job: Job) -> Done:
        with contextlib.ExitStack() as stack:
            try:
                stage = stack.enter_context(self._stage(job))
            except SetupError as error:
                return Done([], stop_run=f"{job.stage} cannot start: {error}")
            return self._run(stage, job)

    def _run(self, stage: Stage, job: Job) -> Done:
        context = Context(
            self.work,
            job.side_name,
            rate_limiter=job.rate_limiter,
            is_media_needed=job.is_media_needed,
            **job.earlier,
        )
        usage, wall, decoded = self._cpu_s(), time.monotonic(), decoded_so_far()
        try:
            with self._clock.share() as share:
                results = self._results(stage, job, job.records, context)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return Done([], stop_run=f"the disk is full ({error}); free space and run again")
        except Exception as error:
            # A stage may say that its host wants a rest: that is no fault of the item.
            if (wait_s := getattr(error, "wait_s", None)) is not None:
                return Done([], wait_s=float(wait_s))
            if getattr(error, "stops_run", False):
                return Done([], stop_run=str(error))
            raise
        return Done(
            results=results,
            cpu_s=self._cpu_s() - usage,
            wall_s=time.monotonic() - wall,
            decoded_s=decoded_so_far() - decoded,
            peak_rss_mb=psutil.Process().memory_info().rss / 2**20,
            extra={"worker_s": share["seconds"], **context.measured},
        )

    def _cpu_s(self) -> float:
        """Alone, the process's and its children's; beside others, this thread's and its share of
        the networks'."""
        return _cpu_s() if self.sharing is None else time.thread_time() + self.sharing.cpu_s()

    def _results(self, stage: Stage, job: Job, batch: list, context: Context) -> list[Result]:
        ids = [rec.record_id(record) for record in batch]
        try:
            outcomes = stage.process(batch, context)
            check_outcomes(ids, outcomes, stage.name)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            return self._failed(stage, job, batch, context, error)
        except Exception as error:
            if hasattr(error, "wait_s") or getattr(error, "stops_run", False) or is_lost(error):
                raise
            return self._failed(stage, job, batch, context, error)
        return [
            _result(stage.name, item_id, record, outcome)
            for item_id, record, outcome in zip(ids, batch, outcomes, strict=True)
        ]

    def _failed(self, stage, job, batch, context, error: Exception) -> list[Result]:
        if len(batch) > 1 and stage.splittable:
            # One bad record must not cost its neighbours.
            return [r for one in batch for r in self._results(stage, job, [one], context)]
        return [failure_of(stage.name, record, error) for record in batch]


class SharedClock:
    """Shares the time in which anything ran among what ran: the shares add up to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running, self._last, self._share = 0, 0.0, 0.0

    @contextmanager
    def share(self) -> Iterator[dict[str, float]]:
        """Around one of several; gives a mapping that holds `seconds` afterwards."""
        own: dict[str, float] = {}
        start = self._step(1)
        try:
            yield own
        finally:
            own["seconds"] = self._step(-1) - start

    def _step(self, change: int) -> float:
        with self._lock:
            now = time.monotonic()
            if self._running:
                self._share += (now - self._last) / self._running
            self._last = now
            self._running += change
            return self._share


def failure_of(stage: str, record: Any, error: BaseException, attempt: int = 1) -> Result:
    """A record whose processing raised, as a row."""
    transient = isinstance(error, (TransientError, ConnectionError, TimeoutError))
    failure = rec.Failure(
        stage=stage,
        item_id=rec.record_id(record),
        video_id=getattr(record, "video_id", None),
        reason="transient"
        if transient and not isinstance(error, TransientError)
        else (getattr(error, "reason", None) or ("transient" if transient else "error")),
        exception=printable(f"{type(error).__name__}: {error}")[:2000],
        detail=printable("".join(traceback.format_exception(error)))[-4000:],
        attempt=attempt,
        retryable=transient and not isinstance(error, PermanentError),
    )
    return Result(failure.item_id, failure=failure)


def _result(stage: str, item_id: str, record: Any, outcome: Any) -> Result:
    if isinstance(outcome, rec.Reject):
        video_id = getattr(record, "video_id", None) or item_id
        return Result(
            item_id,
            reject=dataclasses.replace(
                outcome,
                stage=stage,
                item_id=item_id,
                video_id=video_id,
                detail=None if outcome.detail is None else printable(outcome.detail),
            ),
        )
    return Result(item_id, records=[_as_text_only(r) for r in outcome])


def _as_text_only(record: Any) -> Any:
    """A record without half characters, which sites' titles may hold and no table can."""
    odd = {
        name: made
        for name, value in vars(record).items()
        if isinstance(value, str) and (made := printable(value)) != value
    }
    return dataclasses.replace(record, **odd) if odd else record


def _cpu_s() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def decoded_so_far() -> float:
    """Seconds of video that this thread has decoded; nothing is loaded to know it."""
    try:
        from manifests.media import pictures
    except ImportError:
        return 0.0
    return pictures.decoded_seconds()
