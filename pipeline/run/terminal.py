"""What the job starts has no terminal, so that nothing below it can stop or garble the user's.

A program that touches its terminal from a background process group is stopped by the kernel, and
with it whoever waits for it: ffmpeg sets the terminal's modes when it starts, also where it only
prints its version, and Ray's workers are such a group. So standard input is /dev/null below us,
and a worker gives its controlling terminal up, whoever started Ray.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import termios
from collections.abc import Iterator


def close_stdin() -> None:
    """Standard input is /dev/null from now on, for this process and all that it starts."""
    null = os.open(os.devnull, os.O_RDONLY)
    if null != 0:
        os.dup2(null, 0)
        os.close(null)
    os.set_inheritable(0, True)


@contextlib.contextmanager
def stdin_closed() -> Iterator[None]:
    """What is started inside gets /dev/null; the caller has its own standard input back after."""
    try:
        kept = os.dup(0)
    except OSError:  # there is none: nothing to give back
        kept = None
    close_stdin()
    try:
        yield
    finally:
        if kept is not None:
            os.dup2(kept, 0)
            os.close(kept)


def leave_terminal() -> None:
    """For workers, before they start or import anything: no standard input, no terminal, and a
    process group that is not the terminal's."""
    close_stdin()
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:  # there is none
        return
    try:
        if os.getpgrp() == os.tcgetpgrp(terminal):
            os.setpgid(0, 0)
        if os.getsid(0) != os.getpid():  # of a session's leader it would hang up all others
            fcntl.ioctl(terminal, termios.TIOCNOTTY)
    finally:
        os.close(terminal)
