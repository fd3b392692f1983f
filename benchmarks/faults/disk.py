"""A disk that gets full: the run stops with a sentence, and goes on once there is space."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from pathlib import Path

from benchmarks.faults.inputs import talks
from benchmarks.faults.runs import ROOT, Bench, seal
from benchmarks.faults.stores import LIMIT_S, check_stopped
from benchmarks.faults.tally import Tally

FULL_BYTES = 64 << 20


def run(bench: Bench, count: int, rng: random.Random, say=print) -> Tally:
    """Builds on a small file system that a filler leaves little of; then the filler goes.

    Mounting takes a mount space of one's own, which root has and others have where the system
    lets them (`unshare`); elsewhere nothing is run, and the notes say so.
    """
    tally = Tally("full disk")
    if not count:
        return tally
    with tally.timed():
        place = bench.folder / "disk"
        place.mkdir()
        mounted = _mounted(place)
        if mounted is None:
            tally.notes.append("not run: this user may not mount a file system")
            return tally
        holder, enter = mounted
        seen = Path(f"/proc/{holder.pid}/root{place}")
        try:
            sources = bench.folder / "talks"
            talks(sources, 2.5, 2)
            whole = bench.folder / "whole" / "corpus"
            bench.build(tally, "undisturbed", LIMIT_S, sources, "--out", whole)
            used = sum(p.stat().st_size for p in whole.parent.rglob("*") if p.is_file())
            for number in range(count):
                say(f"disk {number}")
                out, filler = place / str(number) / "corpus", seen / "filler"
                seen_out = seen / str(number) / "corpus"
                free = rng.randrange(used // 20, int(used * 0.9))
                _fill(filler, free)
                bench.prefix = enter
                ended = bench.build(tally, "full", LIMIT_S, sources, "--out", out)
                tally.cases += ended.code != 0
                if ended.code == 0:
                    tally.notes.append(f"disk {number}: {free} bytes were enough")
                else:
                    check_stopped(tally, "full", ended)
                filler.unlink()
                again = bench.build(tally, "full, again", LIMIT_S, sources, "--out", out)
                if again.code != 0:
                    tally.not_as_promised.append(f"full, again: {again.told[-300:]}")
                tally.compare(f"disk {number}", seal(seen_out), seal(whole))
                bench.check_after(tally, f"disk {number}", out, 2, seen_at=seen_out)
                bench.prefix = []
                shutil.rmtree(seen_out.parent)
        finally:
            holder.kill()
            holder.wait()
    return tally


def _mounted(place: Path) -> tuple[subprocess.Popen, list[str]] | None:
    """A process in whose mount space a small file system lies at `place`, and the way there."""
    script = f"mount -t tmpfs -o size={FULL_BYTES} none '{place}' && echo up && exec sleep 86400"
    for options, enter in ((["-m"], ["-m"]), (["-rm"], ["-U", "-m", "--preserve-credentials"])):
        with contextlib.suppress(FileNotFoundError):
            holder = subprocess.Popen(
                ["unshare", *options, "sh", "-c", script],
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            if holder.stdout is not None and holder.stdout.readline() == "up\n":
                return holder, ["nsenter", "-t", str(holder.pid), *enter, f"--wd={ROOT}"]
            holder.kill()
            holder.wait()
    return None


def _fill(filler: Path, free: int) -> None:
    """Leave about `free` bytes."""
    facts = os.statvfs(filler.parent)
    with open(filler, "wb") as file:
        left = facts.f_bavail * facts.f_frsize - free
        block = bytes(1 << 16)
        while left > 0:
            left -= file.write(block[:left])
