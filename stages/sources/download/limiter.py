"""Politeness towards hosts: a token bucket each, Retry-After obeyed, a circuit breaker.

Pure and clockless: time is an argument, so tests need no waiting. The pipeline keeps one for
the whole cluster in a Ray actor; workers ask it before every request.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from manifests.records import col


@dataclass(frozen=True)
class LimiterConfig:
    """How hard one host may be asked by the whole cluster."""

    requests_per_s: float = col("sustained requests per host", "1/s", above=0, default=5.0)
    burst: float = col("requests at once after a pause", at_least=1, default=10.0)
    park_s: float = col("rest after a block without Retry-After", "s", at_least=0, default=1800.0)
    max_park_s: float = col(
        "longest rest; doubles from `park_s` with each block", "s", at_least=0, default=6 * 3600.0
    )


@dataclass
class _Host:
    tokens: float
    at_s: float
    parked_until_s: float = 0.0
    blocks: int = 0


@dataclass
class HostLimiter:
    """State of all hosts; every method takes the present time in seconds."""

    config: LimiterConfig
    hosts: dict[str, _Host] = field(default_factory=dict)

    def _host(self, name: str, now_s: float) -> _Host:
        if name not in self.hosts:
            self.hosts[name] = _Host(self.config.burst, now_s)
        return self.hosts[name]

    def acquire(self, name: str, now_s: float) -> tuple[str, float]:
        """(`go`, 0), (`wait`, seconds) to ask again after, or (`parked`, seconds)."""
        host = self._host(name, now_s)
        if now_s < host.parked_until_s:
            return "parked", host.parked_until_s - now_s
        gained = (now_s - host.at_s) * self.config.requests_per_s
        host.tokens = min(self.config.burst, host.tokens + gained)
        host.at_s = now_s
        if host.tokens >= 1:
            host.tokens -= 1
            return "go", 0.0
        return "wait", (1 - host.tokens) / self.config.requests_per_s

    def blocked(self, name: str, now_s: float, retry_after_s: float | None = None) -> float:
        """The host refused (429, bot check): park it. Returns the rest in seconds."""
        host = self._host(name, now_s)
        if now_s < host.parked_until_s:  # an answer to a request sent before the rest began
            return host.parked_until_s - now_s
        host.blocks += 1
        rest = retry_after_s
        if rest is None:
            rest = min(self.config.park_s * 2 ** (host.blocks - 1), self.config.max_park_s)
        host.parked_until_s = now_s + rest
        return rest

    def succeeded(self, name: str, now_s: float) -> None:
        """A video was fetched: the next block begins with the shortest rest again."""
        self._host(name, now_s).blocks = 0

    def parked(self, now_s: float) -> dict[str, float]:
        """Hosts at rest with the seconds left."""
        return {
            n: h.parked_until_s - now_s for n, h in self.hosts.items() if h.parked_until_s > now_s
        }
