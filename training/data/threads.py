"""One thread a worker: pools of threads inside workers wait for each other on the same cores.

Measured on 2 cores: SLTS's sound and pictures took twice the CPU time with the pools' defaults.
"""

from __future__ import annotations


def one_thread(worker: int = 0) -> None:
    """Hold numpy's and OpenCV's pools in this process to one thread; torch holds its own.

    `worker` is what torch tells a worker that begins; it makes no difference.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1)
