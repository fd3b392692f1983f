"""Ray actors that run stages. A worker is a process of its own, so that what kills it (an
exit, a segmentation fault, a memory blow-up, an endless loop) costs one item and not the run.

A worker watches itself: above its memory limit, or when a newer run holds the corpus, it
leaves at once. The driver sees an actor die and charges the item an attempt.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import os
import resource
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import ray

from manifests import records as rec
from pipeline.lease import is_fenced
from pipeline.ledger import Result, check_outcomes
from pipeline.lock import read_fence
from pipeline.remote import RemoteError
from pipeline.work_files import WorkFiles, read_by, written_by
from stages.base import Context, PermanentError, SetupError, Stage, TransientError

MEMORY_EXIT, FENCED_EXIT = 97, 98
WATCH_INTERVAL_S = 0.2
NODE_FOLDERS = ("media", "shots", "tracks", "clips")
"""Side files that a node with a folder of its own may bring again."""


@dataclass(frozen=True)
class Job:
    """One batch for a worker: all it needs travels in it."""

    stage: str
    target: str
    config: Any
    unit: str
    key: str
    records: list[Any]
    services: dict[str, Any]
    memory_gb: float


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
    extra: dict[str, Any] = field(default_factory=dict)


def load_stage(target: str) -> type[Stage]:
    """The class named `module:Class`."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


class StageRunner:
    """Runs jobs in this process; knows nothing of Ray, so that tests can call it directly."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._stages: dict[str, Stage] = {}

    def _stage(self, job: Job) -> Stage:
        name = f"{job.target}|{job.config!r}"
        if name not in self._stages:
            stage = load_stage(job.target)(job.config)
            stage.setup()
            self._stages[name] = stage
        return self._stages[name]

    def run(self, job: Job) -> Done:
        try:
            stage = self._stage(job)
        except SetupError as error:
            return Done([], stop_run=f"{job.stage} cannot start: {error}")
        context = Context(work=self.work, name=job.key[:16], services=job.services)
        usage, wall, decoded = _cpu_s(), time.monotonic(), _decoded_s()
        try:
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
            cpu_s=_cpu_s() - usage,
            wall_s=time.monotonic() - wall,
            decoded_s=_decoded_s() - decoded,
            peak_rss_mb=psutil.Process().memory_info().rss / 2**20,
        )

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
            if hasattr(error, "wait_s") or getattr(error, "stops_run", False):
                raise
            return self._failed(stage, job, batch, context, error)
        return [
            _result(stage.name, item_id, record, outcome)
            for item_id, record, outcome in zip(ids, batch, outcomes, strict=True)
        ]

    def _failed(self, stage, job, batch, context, error: Exception) -> list[Result]:
        if len(batch) > 1 and getattr(stage, "splittable", False):
            # One bad record must not cost its neighbours.
            return [r for one in batch for r in self._results(stage, job, [one], context)]
        return [failure_of(stage.name, record, error) for record in batch]


def failure_of(stage: str, record: Any, error: BaseException, attempt: int = 1) -> Result:
    """A record whose processing raised, as a row."""
    transient = isinstance(error, (TransientError, ConnectionError, TimeoutError))
    failure = rec.Failure(
        stage=stage,
        item_id=rec.record_id(record),
        video_id=getattr(record, "video_id", None),
        reason="transient" if transient
        else (getattr(error, "reason", None) or "error"),
        exception=f"{type(error).__name__}: {error}"[:2000],
        detail="".join(traceback.format_exception(error))[-4000:],
        attempt=attempt,
        retryable=transient and not isinstance(error, PermanentError),
    )
    return Result(failure.item_id, failure=failure)


def _result(stage: str, item_id: str, record: Any, outcome: Any) -> Result:
    if isinstance(outcome, rec.Reject):
        video_id = getattr(record, "video_id", None) or item_id
        return Result(
            item_id,
            reject=dataclasses.replace(outcome, stage=stage, item_id=item_id, video_id=video_id),
        )
    return Result(item_id, records=list(outcome))


def _cpu_s() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _decoded_s() -> float:
    try:
        from manifests import media
    except ImportError:
        return 0.0
    return media.decoded_seconds()


def _watch(files: WorkFiles, fence: int, limit: dict[str, float], name: str) -> None:
    process = psutil.Process()
    while True:
        time.sleep(WATCH_INTERVAL_S)
        if read_fence(files.folder) > fence:
            os._exit(FENCED_EXIT)
        with contextlib.suppress(psutil.Error):
            used = process.memory_info().rss
            used += sum(child.memory_info().rss for child in process.children(recursive=True))
            if used > limit["bytes"]:
                note = f"{used / 2**30:.2f} GiB used, limit {limit['bytes'] / 2**30:.2f} GiB"
                files.write(f"tmp/{name}.memory", note)
                os._exit(MEMORY_EXIT)


@ray.remote(max_restarts=0, max_task_retries=0)
class StageWorker:
    """One process that runs any stage, one job at a time."""

    def __init__(self, files: WorkFiles, fence: int, name: str, node_cache_gb: float) -> None:
        with contextlib.suppress(ImportError):
            import cv2

            cv2.setNumThreads(1)
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[variable] = "1"
        self._limit = {"bytes": float("inf")}
        self._files, self._fence, self._cache_gb = files.on_this_node(), fence, node_cache_gb
        self._files.folder.mkdir(parents=True, exist_ok=True)
        self._runner = StageRunner(self._files.folder)
        threading.Thread(
            target=_watch, args=(self._files, fence, self._limit, name), daemon=True
        ).start()

    def run(self, job: Job) -> Done:
        self._limit["bytes"] = job.memory_gb * 2**30
        files = self._files
        try:
            files.bring(read_by(job.stage, job.unit, job.records, job.services))
            done = self._runner.run(job)
            if files.address is not None:
                if is_fenced(files, self._fence):
                    os._exit(FENCED_EXIT)
                outputs = [r for result in done.results for r in result.records or []]
                files.send(written_by(job.stage, job.unit, outputs))
                files.trim(self._cache_gb, NODE_FOLDERS)
        except RemoteError as error:
            return Done([], stop_run=str(error))
        return done


@ray.remote(num_cpus=0, max_retries=0)
def prove_node(files: WorkFiles, token: str, own_files: list[str]) -> dict[str, str]:
    """That this node reads what the driver wrote, can write beside it, and sees the user's own
    files. Raises OSError."""
    files = files.on_this_node()
    found = files.read("tmp/token")
    if found != token:
        raise OSError(f"{files.address or files.folder} holds {found!r} here, not {token!r}: "
                      "another file system")
    for path in own_files:
        if not os.path.exists(path):
            raise OSError(f"{path} is not here; sources that are files must lie at the same "
                          "path on every node")
    node = ray.get_runtime_context().get_node_id()
    files.write(f"tmp/node-{node}", token)
    return {"node": node, "host": os.uname().nodename, "python": os.sys.version.split()[0]}
