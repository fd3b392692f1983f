"""Services that all workers share, as Ray actors."""

from __future__ import annotations

import time
from typing import Any

import ray

from pipeline.run.processes import Owner, leave_with
from pipeline.run.terminal import leave_terminal
from stages.sources.download.limiter import HostLimiter, LimiterConfig


class LimiterActor:
    """One host limiter for the cluster."""

    def __init__(self, config: LimiterConfig, owner: Owner) -> None:
        leave_terminal()
        leave_with(owner)
        self._limiter = HostLimiter(config)

    def acquire(self, host: str) -> tuple[str, float]:
        return self._limiter.acquire(host, time.time())

    def blocked(self, host: str, retry_after_s: float | None) -> float:
        return self._limiter.blocked(host, time.time(), retry_after_s)

    def succeeded(self, host: str) -> None:
        self._limiter.succeeded(host, time.time())

    def num_parked(self) -> int:
        return len(self._limiter.parked(time.time()))


RemoteLimiter: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=3)(LimiterActor)


class RayLimiter:
    """The limiter as stages see it: plain calls, whatever is behind them."""

    def __init__(self, actor) -> None:
        self._actor = actor

    def acquire(self, host: str) -> tuple[str, float]:
        return ray.get(self._actor.acquire.remote(host))

    def blocked(self, host: str, retry_after_s: float | None) -> float:
        return ray.get(self._actor.blocked.remote(host, retry_after_s))

    def succeeded(self, host: str) -> None:
        ray.get(self._actor.succeeded.remote(host))

    def num_parked(self) -> int:
        """Hosts that asked for a rest; raises GetTimeoutError where nobody answers in a second."""
        return int(ray.get(self._actor.num_parked.remote(), timeout=1.0))
