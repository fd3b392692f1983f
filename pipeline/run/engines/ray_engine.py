"""Workers as Ray actors, on this machine or a cluster. Ray has been started or joined before."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import ray

from manifests.files import sweep_temporaries
from manifests.paths import as_path
from pipeline.run import workers
from pipeline.run.engines.engine import JobError, Limiter, PoolSize, WorkerFacts, WorkerLost
from pipeline.run.engines.ray_limiter import RayLimiter, RemoteLimiter
from pipeline.run.processes import Owner
from pipeline.run.stage_runner import Job
from pipeline.run.terminal import leave_terminal
from pipeline.storage.lock import RECORDS
from pipeline.storage.work_files import WorkFiles
from stages.sources.download.limiter import LimiterConfig


class StageWorker(workers.StageWorker):
    """A worker that knows on which node it is. Its process is called by this name."""

    def is_up(self) -> str:
        """The id of the node it is on, once the process has started."""
        return ray.get_runtime_context().get_node_id()


StageActor: Any = ray.remote(max_restarts=0, max_task_retries=0)(StageWorker)


class RayEngine:
    """`Engine` by Ray."""

    def start(self, facts: WorkerFacts, size: PoolSize) -> Any:
        more = {"max_concurrency": size.videos} if size.videos > 1 else {}
        return StageActor.options(num_cpus=size.cpus, num_gpus=size.gpus, **more).remote(
            facts, size.pictures if size.videos > 1 else None
        )

    def is_up(self, worker: Any) -> Any:
        return worker.is_up.remote()

    def submit(self, worker: Any, job: Job) -> Any:
        return worker.run.remote(job)

    def wait(self, calls: Sequence[Any], timeout_s: float) -> list[Any]:
        ready, _ = ray.wait(list(calls), num_returns=1, timeout=timeout_s)
        if ready:  # take all that is ready, not one a round
            ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
        return list(ready)

    def result(self, call: Any) -> Any:
        try:
            return ray.get(call)
        except ray.exceptions.RayTaskError as error:
            raise JobError(str(error)) from None
        except ray.exceptions.RayError as error:
            # A worker's own end is told at once; one that is only out of reach waits for a verdict.
            is_unsure = isinstance(error, ray.exceptions.ActorUnavailableError)
            raise WorkerLost(str(error), is_unsure) from None

    def kill(self, worker: Any) -> None:
        ray.kill(worker)

    def limiter(self, config: LimiterConfig) -> Limiter:
        return RayLimiter(RemoteLimiter.remote(config, Owner.here()))


@ray.remote(num_cpus=0, max_retries=0)
def prove_node(files: WorkFiles, token: str, own_files: list[str], answer: str) -> dict[str, str]:
    """That this node reads what the driver wrote, can write `answer` beside it, and sees the
    user's own files; what earlier runs left half written here goes. Raises OSError."""
    leave_terminal()
    files = files.on_this_node()
    sweep_temporaries(files.folder / RECORDS)
    found = files.read("tmp/token")
    if found != token:
        raise OSError(
            f"{files.address or files.folder} holds {found!r} here, not {token!r}: "
            "another file system"
        )
    for path in own_files:
        if not as_path(path).exists():
            raise OSError(
                f"{path} is not here; sources that are files must lie at the same "
                "path on every node"
            )
    node = ray.get_runtime_context().get_node_id()
    files.write(answer, token)
    return {"node": node, "host": os.uname().nodename, "python": sys.version.split()[0]}
