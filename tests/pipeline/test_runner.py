"""The runner: poison items cost themselves alone, finished work is not repeated."""

from __future__ import annotations

from collections import Counter

import pytest

from manifests.records import Request, Source
from pipeline.graph import Node
from pipeline.run import cluster
from pipeline.run.engines.engine import PoolSize
from pipeline.run.engines.process_engine import ProcessEngine
from pipeline.run.engines.ray_engine import RayEngine
from pipeline.run.ledger import Ledger
from pipeline.run.pools import Pools
from pipeline.run.scheduler import Runner
from pipeline.run.unit import Policy
from pipeline.storage.lock import CorpusBusyError, CorpusLock, read_fence
from pipeline.storage.work_files import WorkFiles
from tests.pipeline.poison_stages import EchoConfig

NODES = (
    Node("echo", "tests.pipeline.poison_stages:Echo", Request, Source, "request_id"),
    Node("upper", "tests.pipeline.poison_stages:Upper", Source, Source, "source_id"),
)


@pytest.fixture(scope="module", params=["processes", "ray"])
def engine(request):
    if request.param == "processes":
        cluster.prepare()
        yield ProcessEngine()
        return
    cluster.start(None, num_cpus=2)
    yield RayEngine()
    cluster.stop()


def build(engine, work, addresses, word="a", policy=None, num_workers=2):
    with CorpusLock(work) as lock:
        pools = Pools(engine, WorkFiles(work), lock.fence, {"cpu": PoolSize(num_workers, 0.5, 0)})
        events = []
        runner = Runner(
            NODES,
            {"echo": EchoConfig(word), "upper": None},
            WorkFiles(work),
            Ledger(work / "ledger"),
            pools,
            policy or Policy(),
            observe=lambda event, node, _: events.append((event, node.name)),
        )
        try:
            entries = runner.run(
                [
                    Request(f"r{i:02d}", address, "file", "test")
                    for i, address in enumerate(addresses)
                ]
            )
        finally:
            pools.close()
    return entries, Counter(events)


POISONS = {"exit": "crash", "segfault": "crash", "sleep": "timeout", "memory": "memory"}


@pytest.mark.parametrize(
    "turn", [0, pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_poison_costs_one_item(engine, tmp_path, turn):
    """Four poisons among good items; over the turns each is once first and once last."""
    kinds = [*POISONS][turn:] + [*POISONS][:turn]
    addresses = [kinds[0], "fine", kinds[1], "fine", kinds[2], "fine", kinds[3]]
    entries, _ = build(engine, tmp_path, addresses)
    results = [r for e in entries["echo"].values() for r in e.results]
    failures = {r.item_id: r.failure for r in results if r.failure}
    assert {i: f.reason for i, f in failures.items()} == {
        f"r{n:02d}": POISONS[kind] for n, kind in enumerate(addresses) if kind in POISONS
    }
    assert {f.attempt for f in failures.values()} == {2}
    assert len(entries["upper"]) == 3, "the others went on"


def test_errors_rejects_and_transients_are_rows(engine, tmp_path):
    entries, _ = build(engine, tmp_path, ["raise", "reject", "transient", "fine"])
    by_id = {r.item_id: r for e in entries["echo"].values() for r in e.results}
    assert by_id["r00"].failure.reason == "error"
    assert "a bad item" in by_id["r00"].failure.exception
    assert by_id["r01"].reject.reason == "unwanted" and by_id["r01"].reject.stage == "echo"
    assert by_id["r02"].failure.retryable
    assert by_id["r03"].records[0].source_id == "r03-a"
    assert len(by_id) == 4


def test_finished_work_is_not_repeated_and_a_setting_reruns_it(engine, tmp_path):
    build(engine, tmp_path, ["fine", "reject"])
    _, events = build(engine, tmp_path, ["fine", "reject", "fine"])
    assert events["reused", "echo"] == 2 and events["finished", "echo"] == 1
    _, events = build(engine, tmp_path, ["fine", "reject", "fine"], word="b")
    assert events["finished", "echo"] == 3
    calls = (tmp_path / "calls.txt").read_text().split("\n")
    assert Counter(c.split()[0] for c in calls if c) == {"a": 3, "b": 3}


def test_transient_failures_are_tried_again_by_the_next_run(engine, tmp_path):
    build(engine, tmp_path, ["transient", "raise"])
    _, events = build(engine, tmp_path, ["transient", "raise"])
    assert events["reused", "echo"] == 1 and events["finished", "echo"] == 1


def test_a_second_writer_is_refused_and_the_fence_rises(tmp_path):
    with CorpusLock(tmp_path) as lock:
        assert lock.fence == 1
        with pytest.raises(CorpusBusyError, match="being built by process"):
            CorpusLock(tmp_path)
    with CorpusLock(tmp_path) as lock:
        assert lock.fence == 2 == read_fence(tmp_path)


def test_a_cluster_that_does_not_answer_is_named_at_once():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(cluster.ClusterError, match=address):
            cluster.start(address)
