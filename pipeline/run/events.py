"""`DIR/work/log.jsonl`: what happened in a run, one event a line, with unit, stage and cause."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from manifests.paths import printable
from pipeline.graph import Node
from pipeline.run import voice
from pipeline.run.ledger import Entry
from pipeline.run.unit import Unit

NAME = "log.jsonl"
IDS = ("request_id", "source_id", "video_id")


class EventLog:
    """Follows the runner's events. `say` takes a line of text for each unit that ended with `-v`;
    with `--log-json` every event goes to stderr too. A log that cannot be written ends no run."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._say, self._voice = say, voice.current()
        self._addresses: dict[str, str] = {}
        self._num_reused = 0
        self._file: TextIO | None = None
        try:
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            print(f"yld: {path} cannot be written ({error}); the run goes on", file=sys.stderr)

    def began(self, num_sources: int, **facts: Any) -> None:
        """The run begins, with all that tells it from another."""
        self._put("run_began", sources=num_sources, **facts)

    def ended(self, cause: BaseException | None) -> None:
        """The run is over; `cause` is what ended it before its end."""
        told = f"{type(cause).__name__}: {cause}" if cause is not None else None
        self._put("run_ended", reused=self._num_reused, cause=told)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def observe(self, event: str, node: Node, item: Any) -> None:
        """One event of the runner; `item` is a unit, or the entry of one that ended."""
        if event in ("finished", "reused"):
            self._know(item.unit, item.outputs)
            if event == "reused":
                self._num_reused += 1
            else:
                self._ended(node.name, item)
        elif event == "queued":
            self._know(item.name, item.records)
        else:
            self._began_or_broke(event, node.name, item)

    def _began_or_broke(self, event: str, stage: str, unit: Unit) -> None:
        cause = {} if event == "started" else {"cause": unit.cause or None}
        self._put(event, stage=stage, **self._of(unit.name), attempt=unit.attempts, **cause)

    def _ended(self, stage: str, entry: Entry) -> None:
        where = {"stage": stage, **self._of(entry.unit)}
        causes: list[str] = []
        for result in entry.results:
            if (fell := result.reject) is not None:
                self._put(
                    "rejected",
                    **where,
                    item=result.item_id,
                    cause=fell.reason,
                    measured=fell.measured,
                    threshold=fell.threshold,
                    detail=fell.detail,
                )
                causes.append(fell.reason)
            elif (failure := result.failure) is not None:
                self._put(
                    "failed",
                    **where,
                    item=result.item_id,
                    cause=failure.reason,
                    exception=failure.exception,
                    detail=failure.detail,
                    is_retryable=failure.retryable,
                )
                causes.append(failure.exception or failure.reason)
        self._put(
            "finished",
            **where,
            accepted=sum(r.records is not None for r in entry.results),
            rejected=sum(r.reject is not None for r in entry.results),
            failed=sum(r.failure is not None for r in entry.results),
            outputs=len(entry.outputs),
            attempts=entry.attempts,
            wall_s=round(entry.wall_s, 3),
            cpu_s=round(entry.cpu_s, 3),
            video_s=round(entry.video_s, 3),
            peak_rss_mb=round(entry.peak_rss_mb, 1),
        )
        if self._voice.is_verbose:
            self._say(self._line(stage, entry, causes))

    def _line(self, stage: str, entry: Entry, causes: list[str]) -> str:
        source = self._addresses.get(entry.unit, entry.unit)
        name = source if "://" in source else PurePosixPath(source).name
        told = f"{stage}: {printable(name)}, {len(entry.outputs)} out in {entry.wall_s:.1f} s"
        return f"{told}; {len(causes)} fell out: {causes[0].splitlines()[0]}" if causes else told

    def _know(self, unit: str, records: Iterable[Any]) -> None:
        """People know addresses, not ids."""
        for record in records:
            if address := getattr(record, "address", None):
                self._addresses.setdefault(unit, address)
                for name in IDS:
                    if (value := getattr(record, name, None)) is not None:
                        self._addresses.setdefault(value, address)

    def _of(self, unit: str) -> dict[str, str | None]:
        return {"unit": unit, "source": self._addresses.get(unit)}

    def _put(self, event: str, **facts: Any) -> None:
        line = voice.json_line(event, **facts)
        if self._file is not None:
            try:
                self._file.write(line)
                self._file.flush()
            except OSError:  # a full disk is for the stages to tell
                self._file = None
        if isinstance(sys.stderr, voice.JsonLines):
            sys.stderr.event(line)
