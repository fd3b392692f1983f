"""Long commands run in a process below a supervisor, which is there when Ray takes it along.

Ray's native code ends or blocks the process that drives it when the node under it dies. The
supervisor knows nothing of Ray: it starts the driver, and when that was lost without an end of
its own, ends what it left behind and starts it again, for the ledger makes that cheap. Lost a few
times without a finished unit in between, it says so and gives up.

A third process, the guard, sees the supervisor end, however it ends, and then kills all that the
run started and removes its scratch folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from pipeline.run import processes, scratch, voice
from pipeline.run.scratch import Scratch

COMMANDS = frozenset({"build", "audit", "resync", "evaluate", "demo", "estimate"})
SHORT = frozenset({"--help", "-h", "--dry-run", "--list"})
"""With one of these a command starts no Ray."""
MAX_LOSSES = 3
"""Losses without a finished unit between them after which the run gives up."""
PAUSE_S = 2.0
EXIT_STOPPED, EXIT_INTERRUPTED = 3, 130
KEPT = "finished work is kept, the same command goes on"
_tell: Callable[[str], None] | None = None


def is_wanted(words: Sequence[str]) -> bool:
    """Whether the command line is one that may start Ray."""
    return (
        bool(words)
        and words[0] in COMMANDS
        and not SHORT & set(words)
        and hasattr(os, "fork")
        and threading.active_count() == 1
    )


def is_supervised() -> bool:
    return _tell is not None


def progressed() -> None:
    """Tell the supervisor that a unit was finished. Harmless without one."""
    if _tell is not None:
        _tell("P")


def lost(reason: str) -> NoReturn:
    """Leave at once, without another call to Ray, for the supervisor to start the run again."""
    if _tell is not None:
        _tell(f"L{reason}\n")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(EXIT_STOPPED)


@dataclass(frozen=True)
class Ended:
    """How a driver ended: `code` if by itself, else why it was `lost`."""

    code: int | None
    lost: str | None = None
    has_progressed: bool = False
    is_killed: bool = False


def run(command: Callable[[], object]) -> NoReturn:
    """Run `command` below this process and exit as it does."""
    home = scratch.hold(Scratch())
    os.environ[processes.MARK] = home.mark
    guard, release = _start_guard(home)
    supervisor = _Supervisor(command, home, guard, release)
    code = EXIT_STOPPED
    try:
        code = supervisor.run()
    finally:
        os.write(release, b"!")  # all processes have ended: the guard removes the folder
        with contextlib.suppress(ChildProcessError):
            os.waitpid(guard, 0)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)


class _Supervisor:
    def __init__(self, command, home: Scratch, guard: int, release: int) -> None:
        self._command, self._home, self._guard, self._release = command, home, guard, release
        self._child: int | None = None
        self._interrupts = 0
        for number in _heeded():
            signal.signal(number, self._forward)

    def _forward(self, number: int, _: object) -> None:
        """Who asks the supervisor to stop means the driver; who asks thrice means it."""
        self._interrupts += 1
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL if self._interrupts > 2 else number)

    def run(self) -> int:
        losses = 0
        while True:
            ended = self._one()
            processes.end_all(self._home.mark, self._home.path, {os.getpid(), self._guard})
            if ended.code is not None:
                return ended.code
            if self._interrupts:
                return EXIT_INTERRUPTED
            losses = 1 if ended.has_progressed else losses + 1
            if ended.is_killed or losses > MAX_LOSSES:
                times = "" if ended.is_killed else f" ({losses} times without a unit finished)"
                _say(f"{ended.lost}{times}; {KEPT}")
                return EXIT_STOPPED
            _say(f"{ended.lost}; starting again ({losses} of {MAX_LOSSES} without progress)")
            time.sleep(PAUSE_S)
            if self._interrupts:
                return EXIT_INTERRUPTED

    def _one(self) -> Ended:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        supervisor = os.getpid()
        child = os.fork()
        if child == 0:
            os.close(reader)
            os.close(self._release)
            _drive(self._command, writer, supervisor)
        self._child = child
        if self._interrupts:  # one that came while there was no child yet
            os.kill(child, signal.SIGTERM)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        self._child = None
        try:
            said = os.read(reader, 1 << 16).decode(errors="replace")
        except BlockingIOError:
            said = ""
        os.close(reader)
        return _ended(said, os.waitstatus_to_exitcode(status))


def _ended(said: str, code: int) -> Ended:
    has_progressed = "P" in said.partition("L")[0]
    if said.endswith("D"):
        return Ended(code)
    reason = said.partition("L")[2].strip()
    if reason:
        return Ended(None, reason, has_progressed)
    if code == -signal.SIGKILL:
        return Ended(
            None,
            "the run was killed (by hand, or by the system for want of memory)",
            has_progressed,
            is_killed=True,
        )
    how = f"died of {signal.Signals(-code).name}" if code < 0 else f"left with code {code}"
    return Ended(None, f"Ray took the run along as it ended (the driver {how})", has_progressed)


def _drive(command: Callable[[], object], writer: int, supervisor: int) -> NoReturn:
    """The driver's process: `command`, and an exit that runs no more of Ray's code."""
    global _tell
    processes.die_with_parent(supervisor)
    for number in _heeded():
        signal.signal(number, interrupt)
    said: set[str] = set()

    def tell(text: str) -> None:
        if text not in said:  # the pipe is read at the end: it must not fill
            said.add(text)
            os.write(writer, text[:4000].encode())

    _tell, code = tell, 0
    try:
        command()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    tell("D")
    os._exit(code)


def _heeded() -> list[signal.Signals]:
    """What ends a run, but for what whoever started it (nohup, a shell's `&`) had it ignore."""
    return [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]


_last_interrupt = [0.0]


def interrupt(number: int, frame: object) -> None:
    """Ctrl-C, which a terminal sends to driver and supervisor both, interrupts once."""
    now = time.monotonic()
    is_echo, _last_interrupt[0] = now - _last_interrupt[0] < 1.0, now
    if not is_echo:
        raise KeyboardInterrupt


def _start_guard(home: Scratch) -> tuple[int, int]:
    """The guard's process, and the pipe's end that only the supervisor holds."""
    reader, writer = os.pipe()
    guard = os.fork()
    if guard:
        os.close(reader)
        return guard, writer
    try:
        os.close(writer)
        os.setsid()  # what ends a whole group does not end it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        if not os.read(reader, 1):  # it ended without a word
            processes.end_all(home.mark, home.path, {os.getpid()})
        home.remove()
    finally:
        os._exit(0)


def _say(text: str) -> None:
    told = f"yld: {text}\n"
    if "--log-json" in sys.argv:  # the stream that writes events is the driver's
        told = voice.json_line("error", text=told.strip())
    print(told, end="", file=sys.stderr, flush=True)
