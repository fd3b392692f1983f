"""How far a command is that goes through a known number of things: shards, files, bytes, scores.

At a terminal one line drawn anew by time, as `pipeline.run.progress` draws a run; elsewhere a plain
line each ten seconds, and none where all is done before that.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from manifests.paths import printable
from pipeline.run import progress

if TYPE_CHECKING:
    from rich.console import RenderableType

MEGABYTE = 1_000_000
BAR_WIDTH = 20
LEAST_NAME = 8
"""Letters of what is in hand; with room for fewer it is left out."""


class Steps:
    """Use it in a `with`; call `done` as things end, `at` with the name of what is in hand.

    `what` says what is done ("verify"), `total` of how many, `unit` of what ("shards"); counts are
    shown divided by `scale`.
    """

    def __init__(
        self, what: str, total: int, unit: str = "", scale: int = 1, stream: TextIO | None = None
    ) -> None:
        self._what, self._total, self._unit, self._scale = what, total, unit, scale
        self._stream = stream or sys.stderr
        self._count, self._name = 0, ""
        self._began_s = time.monotonic()
        self._end, self._said = threading.Event(), False
        self._live: Any = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Steps:
        if self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            self._live = progress.live(self._picture, self._stream)
            self._live.start()
            self._live.console.show_cursor(True)
        else:
            self._thread = threading.Thread(target=self._lines, daemon=True, name="steps")
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._live is not None:
            self._live.stop()
        if self._thread is not None:
            self._thread.join()
            if self._said:
                self._write(self.line())

    def at(self, name: str) -> None:
        """What is in hand now."""
        self._name = "".join(c if c.isprintable() else "?" for c in printable(name))

    def done(self, count: int = 1) -> None:
        """So many more have ended."""
        self._count += count

    def is_at(self, count: int, total: int | None = None) -> None:
        """So many have ended in all, of `total` if that is known only now."""
        self._count = count
        self._total = total or self._total

    def line(self) -> str:
        """All of it in one plain line."""
        return " | ".join(filter(None, (self._what, self._counted(), self._times(), self._name)))

    def _counted(self) -> str:
        ended, total = self._count / self._scale, self._total / self._scale
        return f"{ended:.0f}/{total:.0f} {self._unit}".rstrip()

    def _times(self) -> str:
        took_s = time.monotonic() - self._began_s
        words = [progress.clock(took_s)]
        if 0 < self._count < self._total:
            left_s = took_s * (self._total - self._count) / self._count
            words.append(f"about {progress.about(left_s)} left")
        return ", ".join(words)

    def _picture(self) -> RenderableType:
        """The line at a terminal, never wider than it."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        counted, times = self._counted(), self._times()
        taken = len(self._what) + BAR_WIDTH + len(counted) + len(times) + 4
        room = (self._live.console.width if self._live else 0) - taken  # drawn once as it is made
        name = self._name if len(self._name) <= room else f"…{self._name[1 - room :]}"
        grid = Table.grid(padding=(0, 1))
        for _ in range(5):
            grid.add_column(no_wrap=True)
        bar = ProgressBar(total=max(1, self._total), completed=self._count, width=BAR_WIDTH)
        grid.add_row(self._what, bar, counted, times, name if room >= LEAST_NAME else "")
        return grid

    def _lines(self) -> None:
        while not self._end.wait(progress.LINE_INTERVAL_S):
            self._said = True
            self._write(self.line())

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
