"""How much went through the networks and how long they took, for the table of costs.

Figures of time are never part of an outcome: a corpus has the same bytes however long it took.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any


class Meter:
    """Adds to `figures`: `detector_items`, `detector_s`, `landmarker_items`, `landmarker_s`."""

    def __init__(self, figures: MutableMapping[str, float] | None = None) -> None:
        self.figures = {} if figures is None else figures

    @contextmanager
    def timed(self, part: str, count: int, backend: Any) -> Iterator[None]:
        """Around a call that shows `backend` so many items.

        The time is the call's; for a backend that shares its network with other videos, which
        waits in the call, its share of the network's time.
        """
        started = time.perf_counter()
        yield
        took = getattr(backend, "network_s", None)
        took = time.perf_counter() - started if took is None else took
        self._add(f"{part}_items", count)
        self._add(f"{part}_s", took)

    def _add(self, name: str, value: float) -> None:
        self.figures[name] = self.figures.get(name, 0) + value
