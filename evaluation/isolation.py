"""Scoring in a process of its own, so that what kills a metric costs one row.

PESQ and WORLD are C code that has been seen to end the process on odd input, and a recogniser
may never return. The child announces each metric before it starts; when the child dies or is
silent for too long, that metric's row says how, and a new child goes on with the next.
"""

from __future__ import annotations

import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from evaluation.records import Score, Utterance
from evaluation.scoring import no_score
from manifests.threads import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300.0


@dataclasses.dataclass(frozen=True)
class _Child:
    """A running child: `tasks` is its standard input, `messages` the pipe of its answers."""

    process: subprocess.Popen[bytes]
    tasks: IO[bytes]
    messages: int


class ScoringProcess:
    """A child that scores one utterance at a time; started when first needed."""

    def __init__(
        self,
        timeout_s: float = TIMEOUT_S,
        command: Sequence[str] = (sys.executable, "-m", "evaluation.child"),
    ) -> None:
        self._timeout_s, self._command = timeout_s, list(command)
        self._child: _Child | None = None
        self._buffer = b""

    def score(self, utterance: Utterance, names: Sequence[str]) -> Iterator[Score]:
        """One row per name, in order."""
        left = list(names)
        while left:
            child = self._ask(utterance, left)
            while left:
                message, ending = self._next(child)
                if ending is not None:
                    yield no_score(utterance, left.pop(0), "error", ending)
                    break
                if "row" in message:
                    left.pop(0)
                    yield Score(**message["row"])

    def _ask(self, utterance: Utterance, names: Sequence[str]) -> _Child:
        child = self._start() if self._child is None else self._child
        task = {"utterance": dataclasses.asdict(utterance), "metrics": list(names)}
        try:
            child.tasks.write(json.dumps(task).encode() + b"\n")
            child.tasks.flush()
        except BrokenPipeError:
            pass  # it died while idle: `_next` sees the end of its output and says so
        return child

    def _start(self) -> _Child:
        reader, writer = os.pipe()
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(
            [*self._command, str(writer)],
            stdin=subprocess.PIPE,
            stdout=sys.stderr.fileno(),
            pass_fds=[writer],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)},
        )
        os.close(writer)
        if process.stdin is None:  # never: it was asked for
            raise RuntimeError("the scoring process takes no tasks")
        self._child, self._buffer = _Child(process, process.stdin, reader), b""
        return self._child

    def _next(self, child: _Child) -> tuple[dict, str | None]:
        """The next message, or how the child ended (which is over then)."""
        while b"\n" not in self._buffer:
            with selectors.DefaultSelector() as selector:
                selector.register(child.messages, selectors.EVENT_READ)
                if not selector.select(self._timeout_s):
                    self.close()
                    return {}, f"no end within {self._timeout_s:g} s"
            chunk = os.read(child.messages, 1 << 16)
            if not chunk:
                return {}, self._ending(child)
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line), None

    def _ending(self, child: _Child) -> str:
        code = child.process.wait()
        self.close()
        if code < 0:
            return f"crash: the scoring process died of {signal.Signals(-code).name}"
        return f"crash: the scoring process left with exit code {code}"

    def close(self) -> None:
        """End the child, also one at work."""
        if self._child is None:
            return
        self._child.process.kill()
        self._child.process.wait()
        self._child.tasks.close()
        os.close(self._child.messages)
        self._child = None

    def __enter__(self) -> ScoringProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
