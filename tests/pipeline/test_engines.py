"""A run that one worker can do works without Ray, and promises the same as test_runner.py asks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from manifests.records import Request
from manifests.threads import ENVIRONMENT
from pipeline.config.build_config import load_config
from pipeline.run import cluster
from pipeline.run.engines.engine import PoolSize
from pipeline.run.engines.process_engine import ProcessEngine
from pipeline.run.ledger import Ledger
from pipeline.run.pools import Pools
from pipeline.run.scheduler import Runner
from pipeline.run.session import needs_ray
from pipeline.run.unit import Policy
from pipeline.storage.lock import CorpusLock
from pipeline.storage.work_files import WorkFiles
from stages.sources.download.limiter import LimiterConfig
from tests.pipeline.poison_stages import EchoConfig
from tests.pipeline.test_runner import NODES

ROOT = Path(__file__).resolve().parents[2]


def request(address: str, kind: str = "file") -> Request:
    return Request(f"r-{address}", address, kind, "test")


@pytest.mark.parametrize(
    ("settings", "requests", "address", "needed"),
    [
        ((), [request("a.mp4")], None, False),
        ((), [request("a.mp4")], "auto", True),
        (("workers.cpu_workers=1",), [request("a.mp4"), request("b.mp4")], None, False),
        (("workers.cpu_workers=2",), [request("a.mp4"), request("b.mp4")], None, True),
        (("workers.cpu_workers=2",), [request("https://x.example/a", "link")], None, True),
        (("workers.cpu_workers=1",), [request("https://x.example/a", "link")], None, False),
        (("workers.gpu_workers=1",), [request("a.mp4")], None, True),
    ],
)
def test_ray_is_there_for_the_second_worker(monkeypatch, settings, requests, address, needed):
    monkeypatch.delenv("YLD_METRICS_PORT", raising=False)
    assert needs_ray(load_config(None, settings), requests, address) is needed


def results_of(work: Path, *addresses: str):
    cluster.prepare()
    engine = ProcessEngine()
    with CorpusLock(work) as lock:
        pools = Pools(engine, WorkFiles(work), lock.fence, {"cpu": PoolSize(1, 1.0, 0)})
        runner = Runner(
            NODES,
            {"echo": EchoConfig(), "upper": None},
            WorkFiles(work),
            Ledger(work / "ledger"),
            pools,
            Policy(attempts=1),
            engine.limiter(LimiterConfig(requests_per_s=0.001, burst=2)),
        )
        try:
            entries = runner.run(
                [Request(f"r{i}", a, "file", "test") for i, a in enumerate(addresses)]
            )
        finally:
            pools.close()
    return [r for e in entries["echo"].values() for r in e.results]


def test_workers_ask_the_one_limiter_in_the_driver(tmp_path):
    results = results_of(tmp_path, "polite", "exit", "polite", "polite")
    answers = [record.address.split()[0] for r in results for record in r.records or []]
    assert answers == ["go", "go", "wait"], "what a worker that died was granted still counts"


def test_a_worker_computes_in_one_thread(tmp_path, monkeypatch):
    """Pools of a thread for each core wait for each other, and round in their own way."""
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "7")
    (result,) = results_of(tmp_path, "threads")
    assert [record.address for record in result.records] == ["True 1"]


def test_one_thread_holds_what_was_loaded_before(tmp_path):
    code = (
        "import numpy, scipy.linalg, cv2\n"
        "from threadpoolctl import threadpool_info\n"
        "from manifests.threads import one_thread\n"
        "one_thread()\n"
        "print({pool['num_threads'] for pool in threadpool_info()}, cv2.getNumThreads())"
    )
    many = {**os.environ, **dict.fromkeys(ENVIRONMENT, "5"), "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", code], env=many, capture_output=True, text=True)
    assert said.stdout.strip() == "{1} 1", said.stderr


def test_products_take_one_thread_beside_torch():
    code = (
        "import numpy, torch\n"
        "from threadpoolctl import threadpool_info\n"
        "from manifests.threads import one_thread_for_products\n"
        "def pools():\n"
        "    return {p['num_threads'] for p in threadpool_info() if p['user_api'] == 'blas'}\n"
        "with one_thread_for_products():\n"
        "    print(pools(), torch.get_num_threads())\n"
        "print(pools())"
    )
    many = {**os.environ, **dict.fromkeys(ENVIRONMENT, "2"), "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", code], env=many, capture_output=True, text=True)
    assert said.stdout.split("\n")[:2] == ["{1} 2", "{2}"], said.stderr


def test_the_last_words_of_a_worker_are_told(tmp_path):
    (result,) = results_of(tmp_path, "segfault")
    assert result.failure.reason == "crash"
    assert "died of SIGSEGV" in result.failure.exception
    assert "Segmentation fault" in result.failure.exception


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes as Linux does")
def test_its_worker_does_not_outlive_a_driver_that_is_killed(tmp_path):
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.regressions.driver_of_a_run", str(tmp_path), "sleep"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        workers: list[psutil.Process] = []
        while not (workers and (tmp_path / "calls.txt").exists()):
            assert time.monotonic() < deadline, "no worker has begun"
            time.sleep(0.1)
            below = psutil.Process(driver.pid).children(recursive=True)
            workers = [p for p in below if any("worker_process" in w for w in p.cmdline())]
        os.kill(workers[0].ppid(), signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive
        assert driver.wait(30) == 3
    finally:
        driver.kill()
        driver.wait()
