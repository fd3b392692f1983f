"""One worker with several videos in hand: a poison costs itself alone, nothing is counted twice."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from manifests.media.pictures import decoded_seconds, iter_frames
from manifests.media.video import open_video
from manifests.records import Request
from pipeline.demo.programme import write_media
from pipeline.run import cluster
from pipeline.run.engines.engine import PoolSize
from pipeline.run.engines.ray_engine import RayEngine
from pipeline.run.ledger import Ledger
from pipeline.run.pools import Pools
from pipeline.run.scheduler import Runner
from pipeline.run.stage_runner import Job, SharedClock, StageRunner
from pipeline.run.unit import Policy
from pipeline.storage.lock import CorpusLock
from pipeline.storage.work_files import WorkFiles
from stages.backends.sharing import Sharing
from stages.base import Resources
from tests.pipeline.poison_stages import EchoConfig
from tests.pipeline.test_runner import NODES

SHARED = PoolSize(1, 0.5, 0, videos=4, pictures=2)


@pytest.fixture(scope="module")
def ray_local():

    cluster.start(None, num_cpus=2)
    yield
    cluster.stop()


def build(work, addresses, size=SHARED, attempts=2, timeout_s=60.0):
    with CorpusLock(work) as lock:
        pools = Pools(RayEngine(), WorkFiles(work), lock.fence, {"cpu": size})
        events = []

        def observe(event, node, _):
            events.append((event, node.name))
            if event == "parted":
                (work / "parted").touch()

        runner = Runner(
            NODES,
            {"echo": EchoConfig(), "upper": None},
            WorkFiles(work),
            Ledger(work / "ledger"),
            pools,
            Policy(attempts, limits=lambda *_: Resources(memory_gb=0.35, timeout_s=timeout_s)),
            observe=observe,
        )
        try:
            entries = runner.run(
                [Request(f"r{i:02d}", a, "file", "test") for i, a in enumerate(addresses)]
            )
        finally:
            pools.close()
    return entries, Counter(events)


@pytest.mark.parametrize(
    "poison, reason, attempts",
    [("exit", "crash", 2), ("exit", "crash", 1), ("lost", "device", 2), ("memory", "memory", 2)],
)
def test_who_shared_a_worker_with_a_poison_ends_up_done(
    ray_local, tmp_path, poison, reason, attempts
):
    # The poison waits for its company and the company for the poison's end: no load parts them.
    addresses = ["till parted", f"{poison} in company", "till parted b", "till parted c", "fine"]
    entries, events = build(tmp_path, addresses, attempts=attempts)
    failures = [r.failure for e in entries["echo"].values() for r in e.results if r.failure]
    assert [(f.item_id, f.reason, f.attempt) for f in failures] == [("r01", reason, attempts)]
    assert len(entries["upper"]) == 4
    assert {e.attempts for e in entries["echo"].values() if e.outputs} == {1}
    assert events["parted", "echo"] >= 2, "it had no company"
    assert events["broken", "echo"] == attempts


def test_an_item_without_an_end_costs_itself_alone(ray_local, tmp_path):
    # Who shares a worker may take longer, by as many as share it: two, for the test's sake.
    size = dataclasses.replace(SHARED, videos=2)
    entries, _ = build(tmp_path, ["fine", "sleep", "slow 1", "slow 1 b"], size, 1, timeout_s=10.0)
    failures = [r.failure for e in entries["echo"].values() for r in e.results if r.failure]
    assert [(f.item_id, f.reason, f.attempt) for f in failures] == [("r01", "timeout", 1)]
    assert len(entries["upper"]) == 3


def test_videos_are_in_hand_together_and_another_run_reuses_them(ray_local, tmp_path):
    addresses = [f"slow 1.5 {i}" for i in range(4)]
    entries, _ = build(tmp_path, addresses)
    costs = list(entries["echo"].values())
    assert sum(e.wall_s for e in costs) > 1.8 * sum(e.extra["worker_s"] for e in costs)
    # The same units in a worker that takes one at a time: nothing is done again.
    _, events = build(tmp_path, addresses, PoolSize(1, 0.5, 0))
    assert events["reused", "echo"] == 4 and not events["finished", "echo"]


def run_together(runner, addresses):
    done = [None] * len(addresses)

    def run(i, address):
        done[i] = runner.run(
            Job(
                "echo",
                NODES[0].target,
                EchoConfig(),
                f"u{i}",
                f"key{i}",
                f"k{i}",
                [Request(f"r{i}", address, "file", "test")],
                1.0,
            )
        )

    threads = [threading.Thread(target=run, args=x) for x in enumerate(addresses)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def test_cpu_seconds_and_worker_seconds_are_counted_once(tmp_path):
    runner = StageRunner(tmp_path, Sharing(2))
    started = time.monotonic()
    done = run_together(runner, ["busy a", "busy b", "busy c", "fine"])
    took = time.monotonic() - started
    assert [round(d.cpu_s, 1) for d in done] == [0.3, 0.3, 0.3, 0.0]
    assert 0.5 * took < sum(d.extra["worker_s"] for d in done) <= took


def test_the_shares_of_a_clock_add_up_to_the_time():
    clock = SharedClock()
    with clock.share() as whole:
        time.sleep(0.1)
        with clock.share() as part:
            time.sleep(0.1)
    assert part["seconds"] == pytest.approx(0.05, abs=0.03)
    assert whole["seconds"] == pytest.approx(0.15, abs=0.05)


def test_each_thread_counts_what_it_decodes(tmp_path):
    path = tmp_path / "a.mp4"
    frames = (np.full((64, 64, 3), 20 + i, np.uint8) for i in range(50))
    write_media(path, frames, [Fraction(i, 25) for i in range(50)], np.zeros(32000, np.float32))
    video = open_video(path)
    counted = {}

    def decode(passes):
        before = decoded_seconds()
        for _ in range(passes):
            for _ in iter_frames(video, path):
                pass
        counted[passes] = decoded_seconds() - before

    threads = [threading.Thread(target=decode, args=(n,)) for n in (1, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == {1: pytest.approx(2.0, abs=0.1), 3: pytest.approx(6.0, abs=0.3)}
