"""What a run tells while it works: on a terminal a few lines that are drawn anew by time, else a
plain line now and then."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TextIO

from manifests.paths import printable
from pipeline.run.tally import AtWork, Tally

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LINE_INTERVAL_S = 10.0
DRAWN_PER_S = 4
WORKERS_SHOWN, LABEL_WIDTH = 6, 28


def clock(seconds: float) -> str:
    """65 -> "1:05", 3700 -> "1:01:40"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float) -> str:
    """A time that is not known better than that: "20 s", "3 min", "2.5 h"."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 90 * 60:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} h"


class Progress:
    """Follows the runner's events; give `observe` to the Runner.

    `at_work` tells what the workers have in hand. Drawing is by time, in a thread of its own, so
    that a run whose units take minutes does not look dead.
    """

    def __init__(
        self,
        num_requests: int,
        stages: Sequence[str],
        at_work: Callable[[], Iterable[AtWork]] = tuple,
        stream: TextIO | None = None,
    ) -> None:
        self.stream = stream or sys.stderr
        self._began_s = time.monotonic()
        self.tally = Tally(list(stages), num_requests, self._began_s)
        self._at_work, self._labels = at_work, dict[str, str]()
        self._lock, self._end = threading.Lock(), threading.Event()
        self._is_terminal = self.stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._live: Any = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        if self._is_terminal:
            self._live = live(self._picture, self.stream)
            self._live.start()
            self._live.console.show_cursor(True)  # a run that is killed leaves the terminal whole
        else:
            self._thread = threading.Thread(target=self._lines, daemon=True, name="progress")
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._live is not None:
            self._live.stop()
        if self._thread is not None:
            self._thread.join()
            self._write(self._line())

    # -- events ---------------------------------------------------------------------------

    def observe(self, event: str, node: Any, item: Any) -> None:
        """One event of the runner: queued, started, finished, reused, parked, broken, parted,
        moved."""
        name, now_s = node.name, time.monotonic()
        with self._lock:
            if event == "queued":
                self._name(item.name, item.records)
                self.tally.queued(name)
            elif event == "started":
                self.tally.started(name, item.name, now_s)
            elif event in ("finished", "reused"):
                self._name(item.unit, item.outputs)
                self.tally.ended(
                    name,
                    item.unit,
                    now_s,
                    is_reused=event == "reused",
                    wall_s=item.wall_s,
                )
            else:
                self.tally.broke(name, item.name)
        said = {
            "parked": "waits, its host asked for a rest",
            "broken": f"broke its worker (attempt {getattr(item, 'attempts', 0)})",
            "parted": "was in a worker that ended with several in hand; it is tried again by "
            "itself",
            "moved": "goes on on another node; its own died",
        }
        if event in said:
            self._write(f"{name}: {self._label(item.name)} {said[event]}")

    def _name(self, unit: str, records: Iterable[Any]) -> None:
        """People know their files and titles, not ids."""
        for record in records:
            address = getattr(record, "address", None)
            if address:
                label = getattr(record, "title", None) or PurePosixPath(address).name or address
                for key in ("request_id", "source_id", "video_id"):
                    if (value := getattr(record, key, None)) is not None:
                        self._labels[value] = label
                self._labels.setdefault(unit, label)

    def _label(self, unit: str) -> str:
        text = printable(self._labels.get(unit, unit))
        text = "".join(c if c.isprintable() else "?" for c in text)
        return text if len(text) <= LABEL_WIDTH else text[: LABEL_WIDTH - 1] + "…"

    # -- what is shown --------------------------------------------------------------------

    def _head(self, now_s: float) -> str:
        """Elapsed, what is left, and the state in words."""
        left_s = self.tally.left_s(now_s)
        words = [clock(now_s - self._began_s)]
        if left_s is None:
            words.append("starting workers" if self._is_starting() else "no unit has ended yet")
        elif left_s > 0:
            words.append(f"about {about(left_s)} left")
        return ", ".join(words)

    def _is_starting(self) -> bool:
        units = list(self._at_work())
        return not units or all(unit.is_starting for unit in units)

    def _line(self) -> str:
        """All of it in one plain line."""
        now_s = time.monotonic()
        with self._lock:
            parts = []
            for name, tally in self.tally.by_stage.items():
                if tally.known:
                    parts.append(f"{name} {tally.ended}/{tally.known}")
            return f"{' | '.join([self._head(now_s), *parts])}"

    def _picture(self) -> RenderableType:
        """The lines on a terminal, never wider than it."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now_s = time.monotonic()
        with self._lock:
            grid = Table.grid(padding=(0, 1))
            for justify in ("left", "left", "right", "right"):
                grid.add_column(justify=justify, no_wrap=True)
            for name, tally in self.tally.by_stage.items():
                if not tally.known:
                    continue
                rate = self.tally.per_minute(name, now_s)
                grid.add_row(
                    f"  {name}",
                    ProgressBar(total=tally.known, completed=tally.ended, width=20),
                    f"{tally.ended}/{tally.known}",
                    f"{rate:.0f}/min" if rate >= 1 else "",
                )
            units = list(self._at_work())
            lines = [
                Text(f"  {self._unit(unit)}", no_wrap=True, overflow="ellipsis")
                for unit in units[:WORKERS_SHOWN]
            ]
            if len(units) > WORKERS_SHOWN:
                lines.append(Text(f"  and {len(units) - WORKERS_SHOWN} more at work"))
            head = Text(self._head(now_s), no_wrap=True, overflow="ellipsis", style="bold")
            return Group(head, grid, *lines)

    def _unit(self, unit: AtWork) -> str:
        """What a worker does, and how far it is within a long video."""
        if unit.is_starting:
            return f"a worker starts, for {unit.stage} {self._label(unit.unit)}"
        told = f"{unit.stage} {self._label(unit.unit)}, {clock(unit.seconds)}"
        if unit.done_s is not None and unit.video_s:
            told += f", at {clock(min(unit.done_s, unit.video_s))} of {clock(unit.video_s)}"
        return told

    def _lines(self) -> None:
        while not self._end.wait(LINE_INTERVAL_S):
            self._write(self._line())

    def say(self, text: str) -> None:
        """A line above those that are drawn anew."""
        self._write("".join(c if c.isprintable() else "?" for c in text))

    def _write(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            self.stream.write(text + "\n")
            self.stream.flush()


def live(picture: Callable[[], RenderableType], stream: TextIO) -> Any:
    """Rich's live display of what `picture` gives, on `stream` alone."""
    from rich.live import Live

    return Live(
        console=console_of(stream),
        get_renderable=picture,
        refresh_per_second=DRAWN_PER_S,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=True,  # what others say there stands above the lines
    )


def console_of(stream: TextIO) -> Console:
    """Rich on a stream; its colours are a terminal's own sixteen."""
    from rich.console import Console

    return Console(file=stream, highlight=False, color_system="standard")
