"""How much a command tells on stderr, and in which form: words, fewer of them, or lines of JSON.

All that a command and its libraries write there goes through one stream, so that nobody has to
ask in which form it is wanted.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

METRICS_PORT = "YLD_METRICS_PORT"
"""The environment's word for the port at which Ray tells a run's metrics."""
ERROR_WORDS = ("yld:", "stopped;")
"""What sentences begin with that are told however quiet a command is."""


@dataclass(frozen=True)
class Voice:
    """What is wanted."""

    is_verbose: bool = False
    is_quiet: bool = False
    is_json: bool = False


_voice = Voice()


def current() -> Voice:
    """What the command that runs was asked for."""
    return _voice


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def json_line(event: str, **facts: Any) -> str:
    """One event as a line of JSON."""
    told = {"time": now(), "event": event, **facts}
    return json.dumps(told, ensure_ascii=True, default=str) + "\n"


class _Lines(io.TextIOBase):
    """A stream of lines, each of which goes on as `_put` has it."""

    def __init__(self, below: TextIO) -> None:
        self._below, self._rest = below, ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._below.fileno()

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._put(line.rstrip("\r"))
        return len(text)

    def flush(self) -> None:
        self._below.flush()

    def finish(self) -> None:
        """What stands in a line that nobody ended."""
        if self._rest:
            self.write("\n")
        self.flush()

    def _put(self, line: str) -> None:
        raise NotImplementedError


class Quiet(_Lines):
    """Only what went wrong."""

    def _put(self, line: str) -> None:
        if line.startswith(ERROR_WORDS):
            self._below.write(line + "\n")


class JsonLines(_Lines):
    """Words as events; `event` writes one that is none yet."""

    def _put(self, line: str) -> None:
        if line.strip():
            is_error = line.startswith(ERROR_WORDS)
            self.event(json_line("error" if is_error else "note", text=line))

    def event(self, line: str) -> None:
        self._below.write(line)
        self._below.flush()


@contextmanager
def speaking(voice: Voice) -> Iterator[None]:
    """stderr in the form that is wanted, until the end of the block."""
    global _voice
    before, stream = _voice, sys.stderr
    _voice = voice
    wrapped = JsonLines(stream) if voice.is_json else Quiet(stream) if voice.is_quiet else None
    if wrapped is not None:
        sys.stderr = wrapped
    try:
        yield
    finally:
        if wrapped is not None:
            wrapped.finish()
            sys.stderr = stream
        _voice = before
