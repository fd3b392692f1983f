"""One thread a worker: pools of threads inside workers wait for each other on the same cores.

Measured on 2 cores: SLTS's sound and pictures took twice the CPU time with the pools' defaults.
"""

from __future__ import annotations

import os
import threading
import time

LOOK_S = 1.0


def one_thread(worker: int = 0) -> None:
    """Hold numpy's and OpenCV's pools in this process to one thread; torch holds its own.

    `worker` is what torch tells a worker that begins; it makes no difference.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1)


def begin_worker(reader: int, worker: int = 0) -> None:
    """What a worker does first: one thread, and it leaves when the process `reader`, which started
    it, is gone.

    torch looks for that too, but at the parent it finds when it comes to it: a worker that was
    still starting when its reader was killed finds the system's first process, and would wait for
    ever.
    """
    one_thread(worker)

    def watch() -> None:
        while os.getppid() == reader:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="reader").start()
