"""Which unit comes next: later stages first, so that what is begun is finished and little stands
between stages. Units whose host wants a rest wait here too."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence

from pipeline.graph import Node
from pipeline.run.unit import Unit


class UnitQueue:
    """Units that are ready, and units that wait for a time; `now_s` is a clock that only rises."""

    def __init__(self, nodes: Sequence[Node], now_s: Callable[[], float] = time.monotonic) -> None:
        self._depth = {node.name: i for i, node in enumerate(nodes)}
        self._ready: list[tuple[int, int, int, Unit]] = []
        self._waiting: list[Unit] = []
        self._pushes, self._now_s = 0, now_s

    def __iter__(self) -> Iterator[Unit]:
        """All of them, in no order."""
        yield from (unit for *_, unit in self._ready)
        yield from self._waiting

    @property
    def num_ready(self) -> int:
        return len(self._ready)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def push(self, unit: Unit) -> None:
        self._pushes += 1  # breaks ties, units themselves have no order
        heapq.heappush(self._ready, (-self._depth[unit.node.name], unit.index, self._pushes, unit))

    def push_in(self, unit: Unit, wait_s: float) -> None:
        """Ready after `wait_s` seconds, at the next `wake`."""
        unit.not_before = self._now_s() + wait_s
        self._waiting.append(unit)

    def pop(self) -> Unit:
        """The next one. Raises IndexError where none is ready."""
        return heapq.heappop(self._ready)[-1]

    def wake(self) -> None:
        """Units whose time has come are ready."""
        for unit in [u for u in self._waiting if u.not_before <= self._now_s()]:
            self._waiting.remove(unit)
            self.push(unit)

    def give_up(self, after_s: float) -> list[Unit]:
        """All that wait, which wait no longer, if the first has more than `after_s` to go."""
        if min(u.not_before for u in self._waiting) - self._now_s() <= after_s:
            return []
        given_up, self._waiting = self._waiting, []
        return given_up

    def num_ahead(self, pools: frozenset[str]) -> int:
        """Units that are ready for a stage of none of these pools."""
        return sum(unit.node.pool not in pools for *_, unit in self._ready)
