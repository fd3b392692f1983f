"""Which unit comes next: later stages first, so that what is begun is finished and little stands
between stages. Units whose host wants a rest wait here too.

Each stage has a line of its own, so that one that cannot start costs a look at its head however
many wait in it, and what is counted is counted as units come and go.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pipeline.graph import Node
from pipeline.run.unit import Unit


class UnitQueue:
    """Units that are ready, and units that wait for a time; `now_s` is a clock that only rises."""

    def __init__(self, nodes: Sequence[Node], now_s: Callable[[], float] = time.monotonic) -> None:
        self._lines: dict[str, list[tuple[bool, int, int, Unit]]] = {
            node.name: [] for node in reversed(nodes)
        }
        self._pools = {node.name: node.pool for node in nodes}
        self._waiting: list[tuple[float, int, Unit]] = []
        self._pushes, self._now_s = 0, now_s
        self.num_ready = 0
        self.num_records: Counter[str] = Counter()
        """Records of all units here, by stage."""
        self.num_looks = 0
        """Heads of lines looked at so far: what choosing units costs."""

    def __iter__(self) -> Iterator[Unit]:
        """All of them, in no order."""
        yield from (unit for line in self._lines.values() for *_, unit in line)
        yield from (unit for *_, unit in self._waiting)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def push(self, unit: Unit) -> None:
        self._pushes += 1  # breaks ties, units themselves have no order
        # What others wait for comes first in its stage.
        key = (not unit.is_media_needed, unit.index, self._pushes, unit)
        heapq.heappush(self._lines[unit.node.name], key)
        self.num_ready += 1
        self.num_records[unit.node.name] += len(unit.records)

    def push_in(self, unit: Unit, wait_s: float) -> None:
        """Ready after `wait_s` seconds, at the next `wake`."""
        unit.not_before = self._now_s() + wait_s
        self._pushes += 1
        heapq.heappush(self._waiting, (unit.not_before, self._pushes, unit))
        self.num_records[unit.node.name] += len(unit.records)

    def heads(self) -> Iterator[Unit]:
        """The next unit of each stage, later stages first. Between two of them the caller may `pop`
        from the stage just given, which then comes again."""
        for line in self._lines.values():
            before = -1
            while line and len(line) != before:
                before = len(line)
                self.num_looks += 1
                yield line[0][-1]

    def pop(self, stage: str | None = None) -> Unit:
        """The next one, of `stage` if given. Raises IndexError where none is ready."""
        lines = self._lines.values() if stage is None else [self._lines[stage]]
        line = next((line for line in lines if line), None)
        if line is None:
            raise IndexError("no unit is ready")
        unit = heapq.heappop(line)[-1]
        self.num_ready -= 1
        self.num_records[unit.node.name] -= len(unit.records)
        return unit

    def wake(self) -> None:
        """Units whose time has come are ready."""
        while self._waiting and self._waiting[0][0] <= self._now_s():
            unit = heapq.heappop(self._waiting)[-1]
            self.num_records[unit.node.name] -= len(unit.records)
            self.push(unit)

    def give_up(self, after_s: float) -> list[Unit]:
        """All that wait, which wait no longer, if the first has more than `after_s` to go."""
        if self._waiting[0][0] - self._now_s() <= after_s:
            return []
        given_up, self._waiting = [unit for *_, unit in sorted(self._waiting)], []
        for unit in given_up:
            self.num_records[unit.node.name] -= len(unit.records)
        return given_up

    def num_ahead(self, pools: frozenset[str]) -> int:
        """Units that are ready for a stage of none of these pools."""
        return sum(
            len(line) for name, line in self._lines.items() if self._pools[name] not in pools
        )
