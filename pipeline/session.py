"""One run on Ray: the cluster joined, pools and progress around a Runner, all closed at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from manifests.files import write_atomic
from pipeline import cluster, placement, status
from pipeline.config import BuildConfig, resources_for
from pipeline.graph import Node
from pipeline.ledger import Ledger
from pipeline.lock import CorpusLock
from pipeline.progress import Progress


@contextmanager
def running(nodes: tuple[Node, ...], configs: dict[str, Any], config: BuildConfig, work: Path,
            lock: CorpusLock, num_requests: int, *, address: str | None = None,
            retry_failed: bool = False,
            observe: Callable[[str, Node, Any, dict], None] | None = None) -> Iterator[Any]:
    """A Runner of `nodes` with its pools; `observe` also gets the entries so far.

    Raises ClusterError when no node can read and write `work`, SetupError where GPUs are wanting.
    """
    cluster.start(address)
    import ray

    from pipeline.pools import Pools
    from pipeline.runner import Policy, Runner
    from pipeline.services import ClusterLimiter, LimiterActor

    try:
        joined = cluster.prove_nodes(work)
        workers = config.workers
        sizes = placement.pools(workers, ray.cluster_resources())
        gpu = (f"{workers.gpu_workers} GPU workers of {workers.videos_per_gpu_worker} videos, "
               if workers.gpu_workers else "")
        print(f"{num_requests} sources; {len(joined)} node(s), {sizes['cpu'].workers} CPU workers, "
              f"{gpu}{workers.net_workers} downloads at a time", file=sys.stderr)
        pools = Pools(work, lock.fence, sizes)
        limiter = ClusterLimiter(LimiterActor.remote(config.download.limits))
        progress = Progress(num_requests, [n.name for n in nodes])

        def seen(event, node, item) -> None:
            progress.observe(event, node, item)
            if observe is not None:
                observe(event, node, item, runner.entries)

        runner = Runner(
            nodes, configs, work, Ledger(work / "ledger"), pools,
            Policy(workers.attempts, workers.max_ahead, workers.parked_wait_s, retry_failed),
            services={"rate_limiter": limiter}, observe=seen,
            limits=lambda name, declared: resources_for(config, name, declared),
            pool_of=dict.fromkeys(workers.gpu_stages, "gpu") if workers.gpu_workers else {},
        )
        try:
            yield runner
        finally:
            progress.close()
            pools.close()
            write_atomic(work / "status.json", json.dumps(
                status.rows(nodes, runner.entries, runner.pending())))
    finally:
        ray.shutdown()
