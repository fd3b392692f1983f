"""Batches filled from several videos: one thread runs the networks for all threads that ask.

Each video's thread submits pictures and waits. Pictures that may go into one batch (same network,
same shape) stand in one lane; the batcher takes a batch from a lane that can fill one, or, when
nothing more can come, from the lane that has waited longest.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Run = Callable[[list[Any]], Sequence[Any]]
"""At most `size` items -> one result each, in order."""


@dataclass
class _Request:
    """What one thread waits for."""

    thread: int
    run: Run
    results: list[Any]
    left: int
    error: BaseException | None = None
    network_s: float = 0.0


_Lane = deque[tuple[float, _Request, int, Any]]
"""Items that may share a batch: when each came, whose it is, its place there, and itself."""


class Batcher:
    """`size` items at most go to a network at a time; nobody waits longer than `wait_s` for others.

    Within `video` a thread counts as one that may still submit: once all of those wait, no batch
    is held back. A batch that raises is run again video by video, so an error reaches only those
    whose pictures raise it.
    """

    def __init__(self, size: int, wait_s: float = 0.2) -> None:
        if size < 1:
            raise ValueError(f"a batch holds at least one picture, not {size}")
        self.size, self.wait_s = size, wait_s
        self.num_batches = self.num_items = self.num_mixed = 0
        """Batches run, items in them, and batches with items of more than one thread."""
        self._lanes: dict[Hashable, _Lane] = defaultdict(deque)
        self._change = threading.Condition()
        self._videos = self._asking = 0
        self._cpu_s: dict[int, float] = defaultdict(float)
        self._thread: threading.Thread | None = None

    @contextmanager
    def video(self) -> Iterator[None]:
        """This thread works on a video and may submit."""
        with self._change:
            self._videos += 1
        try:
            yield
        finally:
            with self._change:
                self._videos -= 1
                self._change.notify_all()

    def submit(self, lane: Hashable, run: Run, items: Sequence[Any]) -> tuple[list[Any], float]:
        """Results of `items` in order, and their share of the network's time, s.

        All who name one lane must give a `run` that does the same. Raises what `run` raised.
        """
        if len(items) == 0:
            return [], 0.0
        request = _Request(threading.get_ident(), run, [None] * len(items), len(items))
        with self._change:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
                self._thread.start()
            now = time.monotonic()
            self._lanes[lane].extend((now, request, i, x) for i, x in enumerate(items))
            self._asking += 1
            self._change.notify_all()
            self._change.wait_for(lambda: request.left == 0)
            self._asking -= 1
        if request.error is not None:
            raise request.error
        return request.results, request.network_s

    def cpu_s(self) -> float:
        """CPU seconds spent so far on what this thread submitted."""
        return self._cpu_s[threading.get_ident()]

    def _work(self) -> None:
        while True:
            with self._change:
                while (batch := self._next()) is None:
                    self._change.wait(self._patience_s())
            results = self._run(batch)
            with self._change:
                for (_, request, index, _), result in zip(batch, results, strict=True):
                    request.results[index] = result
                    request.left -= 1
                self._change.notify_all()

    def _next(self) -> list | None:
        """The batch to run now, or None while it is better to wait."""
        waiting = [lane for lane in self._lanes.values() if lane]
        if not waiting:
            return None
        full = [lane for lane in waiting if len(lane) >= self.size]
        oldest = min(full or waiting, key=lambda lane: lane[0][0])
        nobody_else = self._asking >= self._videos
        if not (full or nobody_else or (self._patience_s() or 0.0) <= 0):
            return None
        return [oldest.popleft() for _ in range(min(self.size, len(oldest)))]

    def _patience_s(self) -> float | None:
        """How long the oldest item may still wait, s; None if there is none."""
        came = [lane[0][0] for lane in self._lanes.values() if lane]
        return max(0.0, min(came) + self.wait_s - time.monotonic()) if came else None

    def _run(self, batch: list) -> list[Any]:
        requests = list({id(entry[1]): entry[1] for entry in batch}.values())
        wall, cpu = time.monotonic(), time.thread_time()
        results: dict[int, Any] = {}
        try:
            made = requests[0].run([item for *_, item in batch])
            results = dict(enumerate(_checked(made, len(batch))))
        except BaseException as error:  # the thread must live: all others wait for it
            for request in requests:
                own = [i for i, entry in enumerate(batch) if entry[1] is request]
                results |= dict(
                    zip(own, self._alone(request, own, batch, len(requests), error), strict=True)
                )
        wall, cpu = time.monotonic() - wall, time.thread_time() - cpu
        for _, request, _, _ in batch:
            request.network_s += wall / len(batch)
            self._cpu_s[request.thread] += cpu / len(batch)
        self.num_batches += 1
        self.num_items += len(batch)
        self.num_mixed += len({request.thread for request in requests}) > 1
        return [results[i] for i in range(len(batch))]

    @staticmethod
    def _alone(
        request: _Request, own: list[int], batch: list, num_requests: int, error: BaseException
    ) -> Sequence[Any]:
        """The results of one request's items after the batch raised; Nones and an error if those
        raise by themselves."""
        if num_requests > 1:
            try:
                return _checked(request.run([batch[i][3] for i in own]), len(own))
            except BaseException as own_error:
                error = own_error
        request.error = error
        return [None] * len(own)


def _checked(results: Sequence[Any], count: int) -> Sequence[Any]:
    if len(results) != count:
        raise ValueError(f"a network gave {len(results)} results for {count} pictures")
    return results
