"""How a worker that reads for a training begins, and when it leaves."""

from __future__ import annotations

import os
import threading
import time

from manifests.threads import one_thread

LOOK_S = 1.0


def begin_worker(reader: int, worker: int = 0) -> None:
    """What a worker does first: one thread, and it leaves when the process `reader`, which started
    it, is gone.

    torch looks for that too, but at the parent it finds when it comes to it: a worker that was
    still starting when its reader was killed finds the system's first process, and would wait for
    ever.
    """
    one_thread()

    def watch() -> None:
        while os.getppid() == reader:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="reader").start()
