"""Two Ray nodes that share nothing but an S3 store, of which one is lost under a build."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.faults.inputs import talks
from benchmarks.faults.runs import ROOT, Bench, seal
from benchmarks.faults.stores import LIMIT_S, STOPPED, seal_at, store
from benchmarks.faults.tally import Tally

HOLDER = """
import os, sys
from ray.cluster_utils import Cluster
nodes = Cluster()
for name in ("one", "two"):
    os.environ["YLD_CACHE"] = os.path.join(sys.argv[1], name)
    node = nodes.add_node(num_cpus=1, include_dashboard=False)
    raylet, = node.all_processes["raylet"]
    print(name, raylet.process.pid, flush=True)
print("at", nodes.address, flush=True)
sys.stdin.read()
nodes.shutdown()
"""


def run(bench: Bench, count: int, rng: random.Random, say=print) -> Tally:
    """The second node is lost, then the head, and so on in turn."""
    tally = Tally("a node lost of two")
    if not count:
        return tally
    with tally.timed(), store(rng) as (door, settings):
        bench.connections.allowed |= {("127.0.0.1", door.server_port)}
        sources = bench.folder / "talks"
        talks(sources, 2.5, 3)
        whole = bench.folder / "whole" / "corpus"
        usual_s = bench.build(tally, "undisturbed", LIMIT_S, sources, "--out", whole).seconds
        for number in range(count):
            lost = ("two", "one")[number % 2]
            say(f"node {lost} is lost")
            address = f"s3://corpora/nodes{number}/corpus"
            with _two_nodes(bench, settings) as (head, raylets):
                build = bench.start(sources, "--out", address, "--address", head, **settings)
                victim = raylets[lost]
                build.wait_until(functools.partial(_at_work, victim), 120)
                build.wait_until(bool, rng.uniform(0.5, usual_s / 3))
                is_hit = build.is_running()
                with contextlib.suppress(psutil.Error):
                    psutil.Process(victim).kill()
                tally.cases += is_hit
                name = f"node {number} ({lost})"
                if not is_hit:
                    tally.notes.append(f"{name}: the build had ended")
                ended = build.end(tally, name, LIMIT_S)
                if is_hit and lost == "two" and ended.code != 0:
                    tally.not_as_promised.append(
                        f"{name}: did not go on on the other node: {ended.told[-400:]}"
                    )
                if ended.code not in (0, STOPPED, None):
                    tally.not_as_promised.append(f"{name}: exit code {ended.code}")
            if ended.code != 0:
                again = bench.build(
                    tally, f"{name}, again", LIMIT_S, sources, "--out", address, **settings
                )
                if again.code != 0:
                    tally.not_as_promised.append(f"{name}, again: {again.told[-300:]}")
            tally.compare(name, seal_at(settings, address), seal(whole))
            bench.check_after(tally, name, address, 3, settings)
    return tally


@contextmanager
def _two_nodes(bench: Bench, settings: dict[str, str]) -> Iterator[tuple[str, dict[str, int]]]:
    """The cluster's address, and the raylets of its nodes, held by a process of their own."""
    folder = bench.folder / "nodes"
    environment = {
        **bench.environment(settings),
        "PYTHONPATH": str(ROOT),
        "TMPDIR": "/tmp",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={k: v for k, v in environment.items() if k != "YLD_FAULTS"},
    )
    tasks, told = holder.stdin, holder.stdout
    if tasks is None or told is None:  # never: both were asked for
        raise RuntimeError("the holder of the two nodes cannot be spoken to")
    try:
        raylets, head = {}, None
        while head is None and (line := told.readline()):
            if found := re.fullmatch(r"at (\S+)\n", line):
                head = found[1]
            elif found := re.fullmatch(r"(one|two) (\d+)\n", line):
                raylets[found[1]] = int(found[2])
        if head is None:
            raise RuntimeError("the two nodes did not start")
        yield head, raylets
    finally:
        with contextlib.suppress(OSError):
            tasks.close()
        try:
            holder.wait(30)
        except subprocess.TimeoutExpired:
            for process in [
                *psutil.Process(holder.pid).children(recursive=True),
                psutil.Process(holder.pid),
            ]:
                with contextlib.suppress(psutil.Error):
                    os.kill(process.pid, 9)
            holder.wait()


def _at_work(raylet: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [p for p in psutil.Process(raylet).children() if "StageWorker" in p.name()]
    return []
