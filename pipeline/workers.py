"""Ray actors that run stages. A worker is a process of its own, so that what kills it (an
exit, a segmentation fault, a memory blow-up, an endless loop) costs one item and not the run.

A worker watches itself: above its memory limit, or when a newer run holds the corpus, it
leaves at once. The driver sees an actor die and charges the item an attempt. A worker of several
videos (`workers.videos_per_gpu_worker`) runs each in a thread with a stage of its own; only
networks that take batches are shared (`stages.backends.sharing`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import psutil
import ray

from manifests.files import write_atomic
from pipeline.lock import read_fence
from pipeline.stage_runner import Done, Job, StageRunner
from stages.backends.devices import is_lost
from stages.backends.sharing import Sharing

MEMORY_EXIT, FENCED_EXIT, DEVICE_EXIT = 97, 98, 99
WATCH_INTERVAL_S = 0.2


def _watch(work: Path, fence: int, limit: dict[str, float], name: str) -> None:
    process = psutil.Process()
    while True:
        time.sleep(WATCH_INTERVAL_S)
        if read_fence(work) > fence:
            os._exit(FENCED_EXIT)
        with contextlib.suppress(psutil.Error):
            used = process.memory_info().rss
            used += sum(child.memory_info().rss for child in process.children(recursive=True))
            if used > limit["bytes"]:
                note = f"{used / 2**30:.2f} GiB used, limit {limit['bytes'] / 2**30:.2f} GiB"
                write_atomic(work / "tmp" / f"{name}.memory", note)
                os._exit(MEMORY_EXIT)


@ray.remote(max_restarts=0, max_task_retries=0)
class StageWorker:
    """One process that runs any stage: one job at a time, or with `pictures` (the size of shared
    batches) as many as the actor has threads."""

    def __init__(self, work: str, fence: int, name: str, pictures: int | None = None) -> None:
        with contextlib.suppress(ImportError):
            import cv2

            cv2.setNumThreads(1)
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[variable] = "1"
        self._limit = {"bytes": float("inf")}
        self._note = Path(work) / "tmp" / f"{name}.device"
        self._at_work: dict[int, float] = {}
        self._lock = threading.Lock()
        self._runner = StageRunner(Path(work), Sharing(pictures) if pictures else None)
        threading.Thread(
            target=_watch, args=(Path(work), fence, self._limit, name), daemon=True
        ).start()

    def run(self, job: Job) -> Done:
        self._set_limit(job.memory_gb)
        try:
            return self._runner.run(job)
        except RuntimeError as error:
            if is_lost(error):
                write_atomic(self._note, f"the GPU is lost to its worker: {error}"[:600])
                os._exit(DEVICE_EXIT)
            raise
        finally:
            self._set_limit(None)

    def _set_limit(self, memory_gb: float | None) -> None:
        """The process may hold what the jobs in its threads may; None as this thread's job ends.
        """
        with self._lock:
            if memory_gb is None:
                del self._at_work[threading.get_ident()]
            else:
                self._at_work[threading.get_ident()] = memory_gb * 2**30
            # With nothing at work the last limit stays.
            self._limit["bytes"] = sum(self._at_work.values()) or self._limit["bytes"]


@ray.remote(num_cpus=0, max_retries=0)
def prove_node(work: str, token: str) -> dict[str, str]:
    """That this node reads what the driver wrote and can write beside it. Raises OSError."""
    folder = Path(work) / "tmp"
    found = (folder / "token").read_text()
    if found != token:
        raise OSError(f"{folder} holds {found!r} here, not {token!r}: another file system")
    node = ray.get_runtime_context().get_node_id()
    write_atomic(folder / f"node-{node}", token)
    return {"node": node, "host": os.uname().nodename, "python": os.sys.version.split()[0]}
