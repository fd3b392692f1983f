"""A run's figures as Ray metrics, which Prometheus reads from Ray's own endpoint.

Names are Ray's: it puts `ray_` before them, and `_total` behind those that only grow.
deploy/grafana/yld.json is a board of them.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.run.ledger import Entry
from pipeline.run.voice import METRICS_PORT
from stages.base import SetupError

WANTED = ("opencensus", "opentelemetry", "prometheus_client", "aiohttp_cors")
"""What Ray's agent wants beside Ray itself."""
COUNTERS = {
    "yld_units": ("units that ended, by what became of them", ("stage", "outcome")),
    "yld_video_seconds": ("seconds of video that went through a stage", ("stage",)),
    "yld_cpu_seconds": ("CPU time that a stage took", ("stage",)),
}
GAUGES = {
    "yld_pending_records": ("records without an outcome yet, those at work included", ("stage",)),
    "yld_jobs_at_work": ("jobs that workers have in hand", ()),
    "yld_parked_hosts": ("hosts that asked for a rest", ()),
}


def port() -> int | None:
    """Where Ray shall tell its metrics; None where nobody asked. Raises SetupError where what it
    needs for that is wanting."""
    wanted = os.environ.get(METRICS_PORT)
    if not wanted:
        return None
    missing = [name for name in WANTED if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"metrics need {', '.join(missing)}; the extra `metrics` brings them: "
            ".venv/bin/uv pip install -p .venv/bin/python -e '.[metrics]'"
        )
    return int(wanted)


def outcome(entry: Entry) -> str:
    """accepted | rejected | failed: of the whole unit, the worst that is not mended by others."""
    if any(r.failure is not None for r in entry.results):
        return "failed"
    return "accepted" if any(r.records is not None for r in entry.results) else "rejected"


class Metrics:
    """Follows the runner's events; Ray is running."""

    def __init__(self, stages: Sequence[str]) -> None:
        from ray.util.metrics import Counter, Gauge

        self._stages = tuple(stages)
        self._all: dict[str, Any] = {
            **{name: Counter(name, doc, tags) for name, (doc, tags) in COUNTERS.items()},
            **{name: Gauge(name, doc, tags) for name, (doc, tags) in GAUGES.items()},
        }

    def observe(self, event: str, stage: str, item: Any) -> None:
        """A unit that ended, now or in an earlier run."""
        if event == "reused":
            self._all["yld_units"].inc(1, {"stage": stage, "outcome": "reused"})
        elif event == "finished":
            self._all["yld_units"].inc(1, {"stage": stage, "outcome": outcome(item)})
            for name, value in (
                ("yld_video_seconds", item.video_s),
                ("yld_cpu_seconds", item.cpu_s),
            ):
                if value > 0:
                    self._all[name].inc(value, {"stage": stage})

    def state(self, pending: Mapping[str, int], num_at_work: int, num_parked: int) -> None:
        """What waits, what is at work, whom it waits for."""
        for stage in self._stages:
            self._all["yld_pending_records"].set(pending.get(stage, 0), {"stage": stage})
        self._all["yld_jobs_at_work"].set(num_at_work)
        self._all["yld_parked_hosts"].set(num_parked)
