"""One thread a worker: pools of threads inside workers wait for each other on the same cores.

Measured on 2 cores: a training reader's sound and pictures took twice the CPU time with the
libraries' defaults, a build's offsets two and a half times beside one other busy process. And a
product of matrices may be another one in its last bit by how many threads share it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""What holds the pools of a process to one thread if it stands there before they are loaded."""


@contextlib.contextmanager
def one_thread_for_products() -> Iterator[None]:
    """Within, numpy's and scipy's products take one thread; torch keeps its threads.

    They stand in each other's way: on two cores a step of `tiny` SLTS took 1.01 s with two threads
    for both and .92 s so, and a run of twelve 30 and 24 CPU-seconds.
    """
    import scipy.linalg  # noqa: F401  # whose pool is its own
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def one_thread() -> None:
    """Hold numpy's, scipy's and OpenCV's pools in this process to one thread, whether they are
    loaded by now or not; and torch's if it is not."""
    from threadpoolctl import threadpool_limits

    os.environ.update(ENVIRONMENT)
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    threadpool_limits(1)
