"""What runs stages, on whichever engine (`pipeline.run.engines`). A worker is a process of its own,
so that what kills it (an exit, a segmentation fault, a memory blow-up, an endless loop) costs one
item and not the run.

A worker watches itself: above its memory limit, when a newer run holds the corpus, and when the
driver or the node's Ray ended it leaves at once, with all it started. The driver sees a worker die
and charges the item an attempt. A worker of several videos (`workers.videos_per_gpu_worker`) runs
each in a thread with a stage of its own; only networks that take batches are shared
(`stages.backends.sharing`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
import time

import psutil

from manifests.files import record_temporaries
from manifests.threads import one_thread
from pipeline.graph import load_stage, records_in, side_folders
from pipeline.run import heartbeat
from pipeline.run.engines.engine import WorkerFacts
from pipeline.run.processes import leave, leave_with
from pipeline.run.stage_runner import Done, Job, StageRunner, decoded_so_far
from pipeline.run.terminal import leave_terminal
from pipeline.storage.address import RemoteError
from pipeline.storage.lease import is_fenced
from pipeline.storage.lock import RECORDS, read_fence
from pipeline.storage.work_files import WorkFiles, read_by, written_by
from stages.backends.devices import is_lost
from stages.backends.sharing import Sharing

MEMORY_EXIT, FENCED_EXIT, DEVICE_EXIT = 97, 98, 99
WATCH_INTERVAL_S = 0.2


def _watch(
    files: WorkFiles, fence: int, limit: dict[str, float], name: str, begun: dict[int, Begun]
) -> None:
    process, next_s = psutil.Process(), 0.0
    while True:
        time.sleep(WATCH_INTERVAL_S)
        if begun and time.monotonic() >= next_s:
            next_s = time.monotonic() + heartbeat.INTERVAL_S
            heartbeat.tell(name, _through(begun))
        if read_fence(files.folder) > fence:
            leave(FENCED_EXIT)
        with contextlib.suppress(psutil.Error):
            used = process.memory_info().rss
            limit["peak"] = max(limit["peak"], used)
            used += sum(child.memory_info().rss for child in process.children(recursive=True))
            if used > limit["bytes"]:
                note = f"{used / 2**30:.2f} GiB used, limit {limit['bytes'] / 2**30:.2f} GiB"
                files.write(f"tmp/{name}.memory", note)
                leave(MEMORY_EXIT)


@dataclasses.dataclass(frozen=True)
class Begun:
    """A job in a thread: its stage and unit, and what the thread had decoded before."""

    job: str
    decoded_s: float


def _through(begun: dict[int, Begun]) -> dict[str, float]:
    """Seconds of video that each job in hand has decoded."""
    pictures = sys.modules.get("manifests.media.pictures")
    if pictures is None:
        return {}
    return {
        one.job: pictures.decoded_seconds(thread) - one.decoded_s
        for thread, one in list(begun.items())
    }


class StageWorker:
    """One process that runs any stage: one job at a time, or with `pictures` (the size of shared
    batches) as many as the actor has threads."""

    def __init__(self, facts: WorkerFacts, pictures: int | None = None) -> None:
        leave_terminal()
        leave_with(facts.owner)
        one_thread()
        self._limit = {"bytes": float("inf"), "peak": 0.0}
        files, self._fence, self._cache_gb = facts.files, facts.fence, facts.node_cache_gb
        self._files = files.on_this_node()
        self._files.folder.mkdir(parents=True, exist_ok=True)
        record_temporaries(self._files.folder / RECORDS)
        self._name, self._lock = facts.name, threading.Lock()
        self._at_work: dict[int, float] = {}
        self._begun: dict[int, Begun] = {}
        self._runner = StageRunner(self._files.folder, Sharing(pictures) if pictures else None)
        threading.Thread(
            target=_watch,
            args=(self._files, facts.fence, self._limit, facts.name, self._begun),
            daemon=True,
        ).start()

    def run(self, job: Job) -> Done:
        files = self._files
        self._set_limit(job.memory_gb)
        self._begun[threading.get_ident()] = Begun(f"{job.stage}/{job.unit}", decoded_so_far())
        try:
            files.bring(
                read_by(load_stage(job.target), job.unit, [*job.records, *records_in(job.earlier)])
            )
            done = self._runner.run(job)
            if files.address is not None:
                self._hand_over(job, done)
            return dataclasses.replace(
                done, peak_rss_mb=max(done.peak_rss_mb, self._limit["peak"] / 2**20)
            )
        except RemoteError as error:
            return Done([], stop_run=str(error))
        except RuntimeError as error:
            if is_lost(error):
                files.write(
                    f"tmp/{self._name}.device", f"the GPU is lost to its worker: {error}"[:600]
                )
                leave(DEVICE_EXIT)
            raise
        finally:
            del self._begun[threading.get_ident()]
            self._set_limit(None)

    def _hand_over(self, job: Job, done: Done) -> None:
        """Other nodes may need what this one wrote; a newer run must not see it."""
        if is_fenced(self._files, self._fence):
            leave(FENCED_EXIT)
        outputs = [r for result in done.results for r in result.records or []]
        self._files.send(written_by(load_stage(job.target), job.unit, outputs))
        self._files.trim(self._cache_gb, side_folders())

    def _set_limit(self, memory_gb: float | None) -> None:
        """The process may hold what the jobs in its threads may; None as this thread's job ends."""
        with self._lock:
            if memory_gb is None:
                del self._at_work[threading.get_ident()]
            else:
                self._limit["peak"] *= bool(self._at_work)  # begins anew with nothing at work
                self._at_work[threading.get_ident()] = memory_gb * 2**30
            # With nothing at work the last limit stays.
            self._limit["bytes"] = sum(self._at_work.values()) or self._limit["bytes"]
