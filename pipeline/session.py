"""One run on Ray: the cluster joined, pools and progress around a Runner, all closed at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from manifests.files import write_atomic
from pipeline import cluster, placement, status, supervisor
from pipeline.config import BuildConfig, resources_for
from pipeline.graph import Node
from pipeline.ledger import Ledger
from pipeline.lock import CorpusLock
from pipeline.progress import Progress
from pipeline.work_files import WorkFiles

STATUS_INTERVAL_S = 5.0


@contextmanager
def running(nodes: tuple[Node, ...], configs: dict[str, Any], config: BuildConfig, work: Path,
            lock: CorpusLock, requests: Sequence[Any], *, address: str | None = None,
            files: WorkFiles | None = None,
            retry_failed: bool = False,
            observe: Callable[[str, Node, Any, dict], None] | None = None) -> Iterator[Any]:
    """A Runner of `nodes` with its pools; `observe` also gets the entries so far.

    `files` are those of `work`; all nodes share that folder if they are not given. Raises
    ClusterError when a node cannot read and write them, ClusterLostError when Ray ends under the
    run, SetupError where GPUs are wanting.
    """
    files = files or WorkFiles(work)
    cluster.start(address)
    try:
        with cluster.errors_told():
            yield from _running(nodes, configs, config, work, lock, requests, files, retry_failed,
                                observe)
    finally:
        cluster.stop()


def _running(nodes, configs, config, work, lock, requests, files, retry_failed, observe
             ) -> Iterator[Any]:
    import ray

    from pipeline.pools import Pools
    from pipeline.processes import Owner
    from pipeline.runner import Runner
    from pipeline.services import ClusterLimiter, LimiterActor
    from pipeline.unit import Policy

    joined = cluster.prove_nodes(files, _own_files(requests))
    workers = config.workers
    sizes = placement.pools(workers, ray.cluster_resources())
    gpu = (f"{workers.gpu_workers} GPU workers of {workers.videos_per_gpu_worker} videos, "
           if workers.gpu_workers else "")
    print(f"{len(requests)} sources; {len(joined)} node(s), {sizes['cpu'].workers} CPU "
          f"workers, {gpu}{workers.net_workers} downloads at a time", file=sys.stderr)
    pools = Pools(files, lock.fence, sizes, workers.node_cache_gb, cluster.watch(),
                  lambda: placement.pools(workers, ray.cluster_resources()))
    limiter = ClusterLimiter(LimiterActor.remote(config.download.limits, Owner.here()))
    progress = Progress(len(requests), [n.name for n in nodes])

    next_status = 0.0

    def write_status() -> None:
        write_atomic(work / "status.json", json.dumps(
            status.rows(nodes, runner.entries, runner.pending())))

    def seen(event, node, item) -> None:
        nonlocal next_status
        progress.observe(event, node, item)
        if event == "finished":
            supervisor.progressed()
        if event in ("finished", "reused") and (began := time.monotonic()) > next_status:
            write_status()  # for `yld status` meanwhile, and after a kill -9
            ended = time.monotonic()  # counting millions of records must stay a small share
            next_status = ended + max(STATUS_INTERVAL_S, 50 * (ended - began))
        if observe is not None:
            observe(event, node, item, runner.entries)

    runner = Runner(
        nodes, configs, files, Ledger(work / "ledger", files), pools,
        Policy(workers.attempts, workers.max_ahead, workers.parked_wait_s, retry_failed,
               pool_of=dict.fromkeys(workers.gpu_stages, "gpu") if workers.gpu_workers else {},
               limits=lambda name, declared: resources_for(config, name, declared)),
        limiter, observe=seen, check=cluster.check)
    try:
        yield runner
        files.flush()
    finally:
        progress.close()
        pools.close()
        write_status()


def _own_files(requests: Sequence[Any], at_most: int = 200) -> list[str]:
    """Some of the requests that are files or folders, evenly drawn."""
    paths = [a for a in (getattr(r, "address", "") for r in requests) if a.startswith("/")]
    return paths[:: max(1, len(paths) // at_most)]
