"""Processes of a run: none of them outlives it.

What a run starts (Ray, its workers, their decoders and downloaders) inherits a mark in its
environment and keeps its logs open in the run's scratch folder; by either it is found, whoever
its parent is by now, and whatever group it moved to.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil

MARK = "YLD_RUN"
"""Environment variable that holds the mark of the run a process belongs to."""
OWNER_INTERVAL_S, OWNER_EXIT = 0.5, 96
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def die_with_parent(parent: int) -> None:
    """End this process (SIGKILL) when `parent`, which started it, ends; Linux alone can say so.

    Ends it at once if the parent has gone already.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def identity(pid: int | None = None) -> tuple[int, float]:
    """Number and start time (s): numbers alone are given again."""
    process = psutil.Process(pid)
    return process.pid, process.create_time()


def is_alive(who: tuple[int, float]) -> bool:
    """Whether the process of `identity` still runs; one that waits to be collected does not."""
    try:
        process = psutil.Process(who[0])
        return (
            abs(process.create_time() - who[1]) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


@dataclass(frozen=True)
class Owner:
    """The driver as its workers see it."""

    machine: str
    pid: int
    born_s: float

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(_machine(), *identity())

    def is_gone(self) -> bool:
        """Whether it ended; of one on another machine only Ray can tell."""
        return self.machine == _machine() and not is_alive((self.pid, self.born_s))


@functools.cache
def _machine() -> str:
    """Host, boot and, in a container, the space in which its process numbers are counted."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def leave_with(owner: Owner) -> None:
    """End this worker, and all it started, soon after `owner` or the node's Ray (its parent) ends.

    The system does it at once where it can; a thread does it everywhere.
    """
    parent = os.getppid()
    die_with_parent(parent)

    def watch() -> None:
        while os.getppid() == parent and not owner.is_gone():
            time.sleep(OWNER_INTERVAL_S)
        leave(OWNER_EXIT)

    threading.Thread(target=watch, daemon=True, name="owner").start()


def leave(code: int) -> NoReturn:
    """End this process at once, and before it all that it started."""
    end_children()
    os._exit(code)


def of_run(mark: str, folder: Path, spare: set[int]) -> list[psutil.Process]:
    """Living processes that carry `mark` or have a file open below `folder`, but for `spare`."""
    found, below = [], f"{folder}{os.sep}"
    for process in psutil.process_iter():
        if process.pid in spare:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and (
                process.environ().get(MARK) == mark
                or any(f.path.startswith(below) for f in process.open_files())
            ):
                found.append(process)
    return found


def end_all(mark: str, folder: Path, spare: set[int], within_s: float = 30.0) -> int:
    """Kill all processes of a run and wait for their end; how many there were.

    On a machine with much else to do one look at all processes can take seconds, and one that is
    missed in a look is found in the next.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + within_s
    while left := of_run(mark, folder, spare):
        for process in left:
            ended.add(process.pid)
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=0.2)
        if time.monotonic() > deadline:
            break
    return len(ended)


def end_children() -> None:
    """Kill all that this process started, and what those started."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
