"""What a run tells while it works: counts per stage, a rate, an ETA; and the funnel at the end."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from typing import Any, TextIO

REPORT_INTERVAL_S = 10.0
TTY_INTERVAL_S = 0.5


class Progress:
    """Follows the runner's events and prints one line to stderr now and then.

    Give `observe` to the Runner. The rate counts finished units over the last minute; the ETA
    assumes that units yet unknown cost what the known ones do, and says so with a tilde.
    """

    def __init__(self, num_requests: int, stages: list[str], stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._stages, self._requests = stages, num_requests
        self._queued: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._reused: Counter[str] = Counter()
        self._parked: set[str] = set()
        self._recent: deque[tuple[float, str]] = deque()
        self._started = time.monotonic()
        self._last = 0.0
        self._tty = self.stream.isatty()

    def observe(self, event: str, node: Any, item: Any) -> None:
        """One event of the runner: queued, started, finished, reused, parked, broken, parted,
        moved."""
        name = node.name
        if event == "queued":
            self._queued[name] += 1
        elif event == "reused":
            self._reused[name] += 1
        elif event == "finished":
            self._ended[name] += 1
            self._recent.append((time.monotonic(), name))
        elif event == "parked":
            self._parked.add(item.name)
            self._say(f"{name}: {item.name} waits, its host asked for a rest")
        elif event == "broken":
            self._say(f"{name}: {item.name} broke its worker (attempt {item.attempts})")
        elif event == "parted":
            self._say(
                f"{name}: {item.name} was in a worker that ended with several in hand; it is "
                "tried again by itself"
            )
        elif event == "moved":
            self._say(f"{name}: the node of {item.name} died; it goes on on another")
        self._draw()

    def _draw(self, force: bool = False) -> None:
        now = time.monotonic()
        wait = TTY_INTERVAL_S if self._tty else REPORT_INTERVAL_S
        if not force and now - self._last < wait:
            return
        self._last = now
        while self._recent and now - self._recent[0][0] > 60:
            self._recent.popleft()
        window = min(60.0, max(now - self._started, 1e-3))
        parts = []
        for name in self._stages:
            known = self._queued[name] + self._reused[name]
            if not known:
                continue
            rate = sum(1 for _, n in self._recent if n == name) / window
            text = f"{name} {self._ended[name] + self._reused[name]}/{known}"
            if rate:
                text += f" {rate * 60:.0f}/min"
            parts.append(text)
        eta = self._eta_s(window)
        line = " | ".join(parts) + (f" | ETA ~{eta / 60:.1f} min" if eta is not None else "")
        end = "" if self._tty else "\n"
        self.stream.write(("\r\x1b[K" if self._tty else "") + line + end)
        self.stream.flush()

    def _eta_s(self, window: float) -> float | None:
        """Seconds left at the present rate, each known video passing all remaining stages."""
        rate = len(self._recent) / window
        if not rate:
            return None
        videos = max([self._requests, *(self._queued[n] + self._reused[n] for n in self._stages)])
        done = sum(self._ended.values()) + sum(self._reused.values())
        return max(0.0, videos * len(self._stages) - done) / rate

    def _say(self, text: str) -> None:
        self.stream.write(("\r\x1b[K" if self._tty else "") + text + "\n")

    def close(self) -> None:
        """Print the last state."""
        self._draw(force=True)
        if self._tty:
            self.stream.write("\n")


def table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as aligned text; numbers to the right, None as a dash."""

    def text(value: Any) -> str:
        if value is None:
            return "-"
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    cells = [[text(row.get(c)) for c in columns] for row in rows]
    widths = [
        max(len(c), *(len(r[i]) for r in cells)) if cells else len(c) for i, c in enumerate(columns)
    ]
    numeric = [all(isinstance(r.get(c), (int, float, type(None))) for r in rows) for c in columns]

    def line(values: list[str]) -> str:
        return "  ".join(
            v.rjust(w) if n else v.ljust(w) for v, w, n in zip(values, widths, numeric, strict=True)
        ).rstrip()

    return "\n".join([line(columns), line(["-" * w for w in widths]), *map(line, cells)])
