"""How a worker that reads for a training begins, and when it leaves."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from manifests.threads import one_thread

LOOK_S = 1.0


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are begun within never hear Ctrl-C; here it comes when this is over.

    A terminal sends it to all processes of a command. Who ends after the step in hand may still
    want batches for it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not Unix
        yield
        return
    resource_tracker.ensure_running()  # as it starts, it lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(reader: int, worker: int = 0) -> None:
    """What a worker does first: one thread, no heed to Ctrl-C (`deaf_to_ctrl_c`), and it leaves
    when the process `reader`, which started it, is gone.

    torch looks for that too, but at the parent it finds when it comes to it: a worker that was
    still starting when its reader was killed finds the system's first process, and would wait for
    ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    one_thread()

    def watch() -> None:
        while os.getppid() == reader:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="reader").start()
