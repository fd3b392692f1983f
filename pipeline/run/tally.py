"""What a run has done and what is left of it, in numbers: the arithmetic behind its progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

PRIOR_COST = {
    "expand": 0.01,
    "download": 0.02,
    "probe": 0.02,
    "shots": 0.05,
    "tracks": 0.35,
    "identity": 0.1,
    "sync": 0.15,
    "clips": 0.3,
    "scores": 0.01,
}
"""Share of a video's time that a stage takes while nothing of it has ended; the demo's."""
RATE_WINDOW_S = 60.0
NET = frozenset({"expand", "download"})


@dataclass(frozen=True)
class AtWork:
    """A unit that a worker has in hand."""

    stage: str
    unit: str
    seconds: float
    is_starting: bool = False
    """Its worker's process is still being started."""
    done_s: float | None = None
    video_s: float | None = None
    """How much of how long a video it has been through."""


@dataclass
class StageTally:
    """One stage's units."""

    queued: int = 0
    reused: int = 0
    finished: int = 0
    wall_s: float = 0.0
    """Of those whose cost is known, finished now or in an earlier run."""
    costed: int = 0

    @property
    def known(self) -> int:
        return self.queued + self.reused

    @property
    def ended(self) -> int:
        return self.finished + self.reused


@dataclass
class Tally:
    """Counts a run's events."""

    stages: Sequence[str]
    num_requests: int
    began_s: float = 0.0
    at_work: dict[tuple[str, str], float] = field(default_factory=dict)
    """When each unit that a worker has in hand was begun."""

    def __post_init__(self) -> None:
        self.by_stage = {name: StageTally() for name in self.stages}
        self._first_s: float | None = None
        self._worked_s: float | None = None
        """When the work of those that ended began, their workers' start not counted."""
        self._recent: deque[tuple[float, str]] = deque()

    def started(self, stage: str, unit: str, now_s: float) -> None:
        self.at_work[stage, unit] = now_s
        if self._first_s is None and stage not in NET:
            self._first_s = now_s

    def broke(self, stage: str, unit: str) -> None:
        """It is in no worker any more; it may be tried again."""
        self.at_work.pop((stage, unit), None)

    def queued(self, stage: str) -> None:
        self.by_stage[stage].queued += 1

    def ended(
        self,
        stage: str,
        unit: str,
        now_s: float,
        *,
        is_reused: bool,
        wall_s: float,
    ) -> None:
        """A unit has its outcome, by work done now or in an earlier run."""
        self.broke(stage, unit)
        tally = self.by_stage[stage]
        if is_reused:
            tally.reused += 1
        else:
            tally.finished += 1
            self._recent.append((now_s, stage))
            if wall_s > 0 and stage not in NET:
                # The first worker's start is over by then, and says nothing of the pace.
                since_s = now_s - wall_s
                self._worked_s = since_s if self._worked_s is None else min(self._worked_s, since_s)
        if wall_s > 0:
            tally.wall_s, tally.costed = tally.wall_s + wall_s, tally.costed + 1

    def per_minute(self, stage: str, now_s: float) -> float:
        """Units finished a minute, over the last one."""
        while self._recent and now_s - self._recent[0][0] > RATE_WINDOW_S:
            self._recent.popleft()
        window_s = min(RATE_WINDOW_S, max(now_s - self.began_s, 1.0))
        return 60 * sum(1 for _, name in self._recent if name == stage) / window_s

    def left_s(self, now_s: float) -> float | None:
        """Seconds until all stages are through; None before a stage that works on the media has
        ended a unit.

        Work is weighed by what each stage took a unit so far, or its usual share where none has
        ended, and goes on as fast as it went since the first one's work began, waits and workers
        that start later included. Units that have not reached a stage yet are counted by how many
        of those before came through.
        """
        costs = self._costs_s()
        if costs is None or self._first_s is None:
            return None
        done_s = left_s = 0.0
        coming = max(0.0, self.num_requests - self.by_stage[self.stages[0]].known)
        for name, each_s in costs.items():
            tally = self.by_stage[name]
            begun_s = sum(
                min(now_s - since, 0.9 * each_s)
                for (stage, _), since in self.at_work.items()
                if stage == name
            )
            waiting = tally.known - tally.ended + coming
            done_s += tally.finished * each_s + begun_s
            left_s += max(0.0, waiting * each_s - begun_s)
            coming = waiting * self._passing(name)
        since_s = self._first_s if self._worked_s is None else self._worked_s
        return left_s * (now_s - since_s) / done_s if done_s else None

    def _costs_s(self) -> dict[str, float] | None:
        """Seconds a unit takes in each stage."""
        media = [n for n in self.stages if n not in NET and self.by_stage[n].costed]
        if not media:
            return None
        took_s = {n: self.by_stage[n].wall_s / self.by_stage[n].costed for n in media}
        scale_s = sum(took_s.values()) / sum(PRIOR_COST.get(n, 0.1) for n in media)
        return {
            n: took_s[n] if n in took_s else scale_s * PRIOR_COST.get(n, 0.1) for n in self.stages
        }

    def _passing(self, stage: str) -> float:
        """Units of the next stage for each that ended here."""
        position = self.stages.index(stage)
        ended = self.by_stage[stage].ended
        if position + 1 == len(self.stages) or not ended:
            return 1.0
        return self.by_stage[self.stages[position + 1]].known / ended
