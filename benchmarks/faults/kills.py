"""Parts of a run are killed or suspended at random moments; the run must come to the same bytes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil

from benchmarks.faults.inputs import talks
from benchmarks.faults.runs import Bench, Build, seal
from benchmarks.faults.tally import Tally

TITLES = {
    "worker": "ray::StageWorker",
    "raylet": "raylet/raylet",
    "gcs": "gcs_server",
    "agent": "DashboardAg",
    "environment agent": "RuntimeEnv",
}
WHOM = ("supervisor", "driver", "whole group", *TITLES)
LIMIT_S = 420.0
ATTEMPTS = 3
"""A part that is not there yet, or no more, when its moment comes is tried in another run."""


def run(
    bench: Bench, num_kills: int, num_stops: int, suspend_s: float, rng: random.Random, say=print
) -> Tally:
    """`num_kills` kills, spread over all parts, and `num_stops` suspensions of `suspend_s`."""
    tally = Tally("kills and suspensions")
    if not num_kills + num_stops:
        return tally
    with tally.timed():
        sources = bench.folder / "talks"
        talks(sources, 2.5, 2)
        whole = bench.folder / "whole" / "corpus"
        ended = bench.build(tally, "undisturbed", LIMIT_S, sources, "--out", whole)
        wanted = seal(whole)
        if ended.code != 0 or wanted is None:
            tally.crashes.append(f"the undisturbed build failed: {ended.told[-400:]}")
            return tally
        order = [WHOM[i % len(WHOM)] for i in range(num_kills)]
        rng.shuffle(order)
        cases = [(whom, signal.SIGKILL) for whom in order] + [
            (rng.choice([*TITLES, "driver"]), signal.SIGSTOP) for _ in range(num_stops)
        ]
        for number, (whom, how) in enumerate(cases):
            name = f"{'kill' if how == signal.SIGKILL else 'suspend'} {number} ({whom})"
            say(f"{name}")
            for _ in range(ATTEMPTS):
                if _one(
                    bench, tally, name, whom, how, sources, wanted, ended.seconds, suspend_s, rng
                ):
                    tally.cases += 1
                    break
            else:
                tally.notes.append(f"{name}: there was none whenever its moment came")
    return tally


def _one(bench, tally, name, whom, how, sources: Path, wanted, usual_s, suspend_s, rng) -> bool:
    """One disturbed run and, if it was ended, the one that resumes it. False: nothing was hit."""
    home = bench.folder / "killed" / f"{time.monotonic_ns()}"
    out = home / "corpus"
    home.mkdir(parents=True)
    bench.foreign.sow(home, 1)
    build = bench.start(sources, "--out", out)
    wait_s = rng.uniform(0.5, 0.9 * usual_s)
    build.wait_until(lambda: time.monotonic() > build.began + wait_s, usual_s)
    victims = _victims(build, whom)
    if not victims:  # wait for its first moment
        build.wait_until(lambda: bool(_victims(build, whom)), usual_s)
        victims = _victims(build, whom)
    hit = [rng.choice(victims)] if victims and whom != "whole group" else victims
    _send(hit, how)
    if hit and how == signal.SIGSTOP:
        time.sleep(suspend_s)
        _send(hit, signal.SIGCONT)
    ended = build.end(tally, name, LIMIT_S + suspend_s)
    bench.check_processes(tally, name)
    if out.is_dir() and (out / ".yld.json").exists():
        bench.foreign.sow(out)
    if hit and (ended.code != 0 or seal(out) != wanted):
        again = bench.build(tally, f"{name}, again", LIMIT_S, sources, "--out", out)
        if again.code != 0:
            tally.crashes.append(
                f"{name}: the same command again: exit code {again.code}: {again.told[-300:]}"
            )
    if hit:
        tally.compare(name, seal(out), wanted)
        bench.check_after(tally, name, out, 2)
    return bool(hit)


def _victims(build: Build, whom: str) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(build.process.pid)
        if whom == "supervisor":
            return [top]
        if whom == "whole group":
            return _group(top)
        if whom == "driver":  # the child that has children, Ray's; the other one is the guard
            return [p for p in top.children() if p.children()]
        return build.parts(TITLES[whom])
    return []


def _group(top: psutil.Process) -> list[psutil.Process]:
    """What a terminal's `kill -9 -GROUP` would hit."""
    found = []
    for process in [top, *top.children(recursive=True)]:
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == top.pid:
                found.append(process)
    return found


def _send(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
