"""Commands run as a person runs them: at a terminal, which is where some of them once hung."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ended:
    """How a command ended; `text` is all that the terminal showed."""

    code: int
    text: str


def at_terminal(
    command: Sequence[str],
    timeout_s: float,
    cwd: Path = ROOT,
    look: Callable[[int], None] | None = None,
) -> Ended:
    """Run `command` as the leader of a session with a terminal of its own, nothing typed.

    `look(pid)` is called about every 0.2 s meanwhile. Raises TimeoutError with what was shown;
    then the command and all its descendants are ended.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.chdir(cwd)
            os.execvp(command[0], list(command))
        finally:
            os._exit(127)
    shown, deadline = b"", time.monotonic() + timeout_s
    try:
        while True:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    chunk = os.read(terminal, 65536)
                except OSError:  # Linux's end of a terminal: its last user has left
                    chunk = b""
                if not chunk:
                    break
                shown += chunk
            if look is not None:
                look(pid)
            if time.monotonic() > deadline:
                text = shown.decode(errors="replace")
                raise TimeoutError(
                    f"{' '.join(command)} did not end within {timeout_s:g} s; "
                    f"it showed: {text[-1500:]}"
                )
        return Ended(
            os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")
        )
    except BaseException:
        _end(pid)
        raise
    finally:
        os.close(terminal)


def _end(pid: int) -> None:
    with contextlib.suppress(psutil.Error, ChildProcessError):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
