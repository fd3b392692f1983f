"""Builds as a user starts them: a program in a process group of its own, looked after."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.faults.connections import Connections
from benchmarks.faults.foreign import Foreign
from benchmarks.faults.tally import Tally

ROOT = Path(__file__).resolve().parents[2]
MARK = "YLD_FAULTS"
PROMISED = frozenset({0, 1, 3, 130})
"""Exit codes that the documentation knows for a run that had started."""
FAULTS = ("Traceback (most recent call last)", "a fault of yld itself")
GONE_S = 10.0
TEMPORARY = re.compile(r".*\.(tmp|part|ytdl|writing)|yld-.*|tmp[a-z0-9_]{8}")


@dataclass(frozen=True)
class Ended:
    """How a build ended; `code` is None for one that had to be killed because it hung."""

    code: int | None
    told: str
    seconds: float


class Bench:
    """A folder with temporary files, connections and strangers' files of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.mark = folder, secrets.token_hex(8)
        self._seen: set[psutil.Process] = set()
        self.prefix: list[str] = []
        """What every program is started with (the way into another mount space)."""
        self.temporary = folder / "t"  # short: sockets lie below it
        self.temporary.mkdir(parents=True)
        self.connections, self.foreign = Connections(folder), Foreign(seed)
        self.foreign.sow(self.temporary, 2)

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        noted, hook = self.connections.environment()
        kept = {k: v for k, v in os.environ.items() if k not in ("YLD_RUN", "YLD_DEBUG")}
        return {
            **kept,
            MARK: self.mark,
            "TMPDIR": str(self.temporary),
            "YLD_CACHE": str(self.folder / "cache"),
            "PYTHONPATH": os.pathsep.join([hook, str(ROOT)]),
            **noted,
            **more,
        }

    def start(self, *words: object, **more: str) -> Build:
        """`yld build words...` with `more` in its environment."""
        log = open(self.folder / "told.txt", "w+")  # noqa: SIM115 - closed by `end`
        process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "pipeline.cli", "build", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self.environment(more),
            start_new_session=True,
        )
        return Build(self, process, log)

    def build(self, tally: Tally, name: str, limit_s: float, *words: object, **more: str) -> Ended:
        """Start a build and wait for its end; hangs and crashes go to the tally."""
        build = self.start(*words, **more)
        return build.end(tally, name, limit_s)

    def processes(self) -> list[psutil.Process]:
        """All living processes of this bench's builds, whoever their parent is by now."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.mark:
                    # A long title overwrites the environment, as that of Ray's agents does.
                    self._seen |= {process, *process.children(recursive=True)}
        self._seen = {process for process in self._seen if _lives(process)}
        return sorted(self._seen, key=lambda process: process.pid)

    def check_processes(self, tally: Tally, name: str) -> None:
        """Count what lives 10 s after a run's end, and end it."""
        deadline = time.monotonic() + GONE_S
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        for process in left:
            with contextlib.suppress(psutil.Error):
                tally.leftovers.append(f"{name}: process {' '.join(process.cmdline())[:80]} lives")
                process.kill()

    def check_after(
        self,
        tally: Tally,
        name: str,
        out: Path | str,
        num_inputs: int,
        settings: dict[str, str] | None = None,
        seen_at: Path | None = None,
    ) -> None:
        """All that is looked at once a run, or the one that resumed it, came to its end.

        `out` may be an address, to which `settings` lead; `seen_at` is where this process finds
        a folder of another mount space.
        """
        self.check_processes(tally, name)
        places = [
            self.temporary,
            self.folder / "cache",
            *([seen_at or out] if isinstance(out, Path) else []),
        ]
        for path in (p for place in places for p in place.rglob("*")):
            if TEMPORARY.fullmatch(path.name) and not self.foreign.owns(path):
                tally.leftovers.append(f"{name}: {path} is left")
        tally.foreign_changed += [f"{name}: {text}" for text in self.foreign.changed()]
        tally.private_connections += [f"{name}: {text}" for text in self.connections.wrong()]
        wrong = self._sums(out, num_inputs, settings or {})
        tally.bad_sums += [f"{name}: {text}" for text in wrong]

    def _sums(self, out: Path | str, num_inputs: int, settings: dict[str, str]) -> list[str]:
        """What does not add up in `yld status OUT --json`."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "pipeline.cli", "status", str(out), "--json"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=self.environment(settings),
        )
        if done.returncode:
            return [f"yld status: exit code {done.returncode}: {done.stderr.strip()[-200:]}"]
        return unbalanced(json.loads(done.stdout), num_inputs)

    def close(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class Build:
    """A running `yld build`."""

    def __init__(self, bench: Bench, process: subprocess.Popen, log) -> None:
        self.bench, self.process, self._log = bench, process, log
        self.began = time.monotonic()

    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait_until(self, ready: Callable[[], object], limit_s: float) -> bool:
        """Whether `ready()` came true before the run ended or the time was over."""
        deadline = time.monotonic() + limit_s
        while self.is_running() and time.monotonic() < deadline:
            if ready():
                return True
            time.sleep(0.05)
        return False

    def parts(self, word: str) -> list[psutil.Process]:
        """Its processes whose title or command holds `word`."""
        found = []
        for process in self.bench.processes():
            with contextlib.suppress(psutil.Error):
                if word in process.name() or word in " ".join(process.cmdline()[:2]):
                    found.append(process)
        return found

    def end(self, tally: Tally, name: str, limit_s: float) -> Ended:
        """Wait for its end; one that takes longer than `limit_s` hangs and is killed."""
        try:
            code = self.process.wait(max(1.0, limit_s - (time.monotonic() - self.began)))
        except subprocess.TimeoutExpired:
            code = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._log.seek(0)
        told = self._log.read()
        self._log.close()
        ended = Ended(code, told, time.monotonic() - self.began)
        if code is None:
            tally.hangs.append(f"{name}: no end within {limit_s:.0f} s; {_last(told)}")
        elif any(words in told for words in FAULTS):
            tally.crashes.append(f"{name}: {_last(told)}")
        elif code >= 0 and code not in PROMISED:
            tally.crashes.append(f"{name}: exit code {code}; {_last(told)}")
        return ended


def _last(told: str) -> str:
    return " / ".join(told.strip().splitlines()[-2:])[:300]


def seal(out: Path) -> str | None:
    """What the whole corpus comes to, None where there is none."""
    path = out / "SHA256SUMS"
    return path.read_text() if path.exists() else None


def unbalanced(rows: list[dict], num_inputs: int) -> list[str]:
    """Rows of a finished run's status in which something is missing or counted twice."""
    wrong = []
    for row in rows:
        ended = row["accepted"] + row["rejected"] + row["failed"]
        if row["inputs"] != ended or row["pending"]:
            wrong.append(
                f"{row['stage']}: {row['inputs']} in; {row['accepted']} accepted, "
                f"{row['rejected']} rejected, {row['failed']} failed, "
                f"{row['pending']} pending"
            )
    if not rows or rows[0]["inputs"] != num_inputs:
        wrong.append(f"{num_inputs} inputs were given, {rows[0]['inputs'] if rows else 0} counted")
    return wrong


def failures(out: Path) -> Iterable[dict]:
    """Rows of the table of failures."""
    from manifests.corpus import Corpus

    return Corpus(out).rows("failures") if (out / "manifests").is_dir() else []
