"""Workers as processes that this one starts itself: a run that one worker can do does not wait for
Ray.

A worker is `python -m pipeline.run.engines.worker_process`, with one end of a socket pair. It is
sent jobs and sends back what became of them; meanwhile its stages ask for the limiter, which lives
here. What it writes to its standard error is kept in the run's scratch folder and told if it dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Any

import psutil

from manifests.threads import ENVIRONMENT
from pipeline.run import scratch
from pipeline.run.engines.engine import JobError, Limiter, PoolSize, WorkerFacts, WorkerLost
from pipeline.run.engines.worker_process import AskDriver
from pipeline.run.stage_runner import Job
from stages.sources.download.limiter import HostLimiter, LimiterConfig

LAST_WORDS = 4000
"""Bytes of a dead worker's standard error that are looked at."""


class Call:
    """What a worker was asked, and how that ended."""

    def __init__(self, worker: ProcessWorker) -> None:
        self.worker, self.has_ended = worker, False
        self.value: Any = None
        self.error: JobError | WorkerLost | None = None

    def end(self, value: Any = None, error: JobError | WorkerLost | None = None) -> None:
        self.has_ended, self.value, self.error = True, value, error


class ProcessWorker:
    """A worker's process and its end of the socket."""

    def __init__(self, facts: WorkerFacts) -> None:
        ours, theirs = socket.socketpair()
        self._said = scratch.current().path / f"said-{facts.name}.txt"
        with theirs, open(self._said, "wb") as said:
            self.process = _started(theirs, said)
        self.connection = Connection(ours.detach())
        self.up = Call(self)
        self.jobs: deque[Call] = deque()
        self._send(("facts", facts))

    def submit(self, job: Job) -> Call:
        call = Call(self)
        self.jobs.append(call)
        self._send(("job", job))
        return call

    def _send(self, message: tuple[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it is dead: its end of the socket tells
            self.connection.send(message)

    def hear(self, limiter: HostLimiter | None) -> None:
        """Take what it has to say; that it is dead ends all it was asked."""
        try:
            kind, said = self.connection.recv()
        except (EOFError, OSError):
            self._lose()
            return
        if kind == "up":
            self.up.end("here")
        elif kind == "done":
            self.jobs.popleft().end(said)
        elif kind == "error":
            self.jobs.popleft().end(error=JobError(said))
        elif kind == "ask":
            name, arguments = said
            self._send(("answer", _asked(limiter, name, arguments)))

    def _lose(self) -> None:
        """Its socket is closed, which the system does with the process."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10.0)
        error = WorkerLost(self._how_it_ended())
        for call in (self.up, *self.jobs):
            if not call.has_ended:
                call.end(error=error)
        self.jobs.clear()
        self.kill()

    def _how_it_ended(self) -> str:
        code = self.process.returncode
        if code is None:
            how = "does not answer"
        elif code < 0:
            how = f"died of {signal.Signals(-code).name}"
        else:
            how = f"left with code {code}"
        words = _tail(self._said)
        return f"the worker's process {how}" + (f": {words}" if words else "")

    @property
    def is_open(self) -> bool:
        return not self.connection.closed

    def kill(self) -> None:
        """End the process and all that it started; harmless when called twice."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10.0)
        self.connection.close()


class ProcessEngine:
    """`Engine` by processes; each worker has one job in hand at a time."""

    def __init__(self) -> None:
        self._limiter: HostLimiter | None = None

    def start(self, facts: WorkerFacts, size: PoolSize) -> ProcessWorker:
        if size.videos > 1:
            raise ValueError("several videos in one worker are Ray's to run")
        return ProcessWorker(facts)

    def is_up(self, worker: ProcessWorker) -> Call:
        return worker.up

    def submit(self, worker: ProcessWorker, job: Job) -> Call:
        return worker.submit(job)

    def wait(self, calls: Sequence[Call], timeout_s: float) -> list[Call]:
        deadline = time.monotonic() + timeout_s
        while not (ended := [call for call in calls if call.has_ended]):
            open_ones = {c.worker for c in calls if c.worker.is_open}
            left_s = max(0.0, deadline - time.monotonic())
            heard = wait([worker.connection for worker in open_ones], left_s)
            for worker in [w for w in open_ones if w.connection in heard]:
                worker.hear(self._limiter)
            if time.monotonic() >= deadline:
                return [call for call in calls if call.has_ended]
        return ended

    def result(self, call: Call) -> Any:
        if call.error is not None:
            raise call.error
        return call.value

    def kill(self, worker: ProcessWorker) -> None:
        worker.kill()

    def limiter(self, config: LimiterConfig) -> Limiter:
        self._limiter = HostLimiter(config)
        return LimiterHere(self._limiter)


class LimiterHere:
    """The limiter in the driver; in a job it becomes one that asks the driver."""

    def __init__(self, limiter: HostLimiter) -> None:
        self._limiter = limiter

    def __reduce__(self) -> tuple[type[AskDriver], tuple[()]]:
        return AskDriver, ()

    def acquire(self, host: str) -> tuple[str, float]:
        return self._limiter.acquire(host, time.time())

    def blocked(self, host: str, retry_after_s: float | None) -> float:
        return self._limiter.blocked(host, time.time(), retry_after_s)

    def succeeded(self, host: str) -> None:
        self._limiter.succeeded(host, time.time())

    def num_parked(self) -> int:
        return len(self._limiter.parked(time.time()))


def _asked(limiter: HostLimiter | None, name: str, arguments: tuple[Any, ...]) -> Any:
    if limiter is None or name not in AskDriver.QUESTIONS:
        raise ValueError(f"no worker asks for {name}")
    return getattr(LimiterHere(limiter), name)(*arguments)


def _started(end: socket.socket, said: IO[bytes]) -> subprocess.Popen:
    """A session of its own: no terminal, and not in the group that Ctrl-C goes to."""
    number = end.fileno()
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.run.engines.worker_process", str(number)],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        pass_fds=(number,),
        start_new_session=True,
        env={**os.environ, **ENVIRONMENT},
    )


def _tail(path: Path) -> str:
    """The last words of a worker that died."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - LAST_WORDS))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    fatal = [n for n, line in enumerate(lines) if line.startswith("Fatal Python error")]
    chosen = lines[fatal[-1] : fatal[-1] + 6] if fatal else lines[-6:]  # and where that was
    return " ".join(line.strip() for line in chosen if line.strip())[:400]
