"""A command with so many minutes of processor time for itself and all that it starts.

A machine that others share gives no minutes by the clock that could be quoted. The processor time
of a training and its loader's workers is nearly the same however long the others made it wait.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence

import psutil

LOOK_EVERY_S = 0.5
STOPPED = 130
"""How `yld train` ends after a signal, its last step saved."""


def run_within(command: Sequence[str], cpu_minutes: float | None) -> float:
    """Runs `command`, its output on the error stream, and returns the processor seconds that it and
    its children took. Once they are spent it is asked to end (SIGTERM, after which a training
    finishes its step and writes a checkpoint).

    Raises subprocess.CalledProcessError where it fails.
    """
    with subprocess.Popen(command, stdout=sys.stderr) as process:
        watched = psutil.Process(process.pid)
        used_s: dict[int, float] = {}
        is_asked = False
        while process.poll() is None:
            _look(watched, used_s)
            if cpu_minutes is not None and not is_asked and _sum(used_s) >= 60 * cpu_minutes:
                process.terminate()
                is_asked = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY_S)
    if process.returncode not in ((0, STOPPED) if is_asked else (0,)):
        raise subprocess.CalledProcessError(process.returncode, command)
    return _sum(used_s)


def _look(watched: psutil.Process, used_s: dict[int, float]) -> None:
    """What each process that is there has used so far, by its number."""
    with contextlib.suppress(psutil.Error):
        for process in (watched, *watched.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used_s[process.pid] = times.user + times.system


def _sum(used_s: dict[int, float]) -> float:
    return sum(used_s.values())
