"""One run on Ray: the cluster joined, pools and progress around a Runner, all closed at the end."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from manifests.files import write_atomic
from pipeline.config.build_config import BuildConfig, resources_for
from pipeline.graph import Node
from pipeline.run import cluster, metrics, placement, status, supervisor
from pipeline.run.events import NAME, EventLog
from pipeline.run.ledger import Ledger
from pipeline.run.progress import Progress
from pipeline.storage.lock import CorpusLock
from pipeline.storage.work_files import WorkFiles

if TYPE_CHECKING:
    from pipeline.run.pools import Pools, PoolSize
    from pipeline.run.scheduler import Runner

STATUS_INTERVAL_S = 5.0


@contextmanager
def running(
    nodes: tuple[Node, ...],
    configs: dict[str, Any],
    config: BuildConfig,
    files: WorkFiles,
    lock: CorpusLock,
    requests: Sequence[Any],
    *,
    address: str | None = None,
    retry_failed: bool = False,
    observe: Callable[[str, Node, Any, dict[str, Any]], None] | None = None,
) -> Iterator[Runner]:
    """A Runner of `nodes` with its pools; `observe` also gets the entries so far.

    Raises ClusterError when a node cannot read and write `files`, ClusterLostError when Ray ends
    under the run, SetupError where GPUs are wanting.
    """
    cluster.start(address)
    try:
        with cluster.errors_told():
            num_nodes = len(cluster.prove_nodes(files, _own_files(requests)))
            pools = _pools(config, files, lock)
            print(
                f"{len(requests)} sources; {num_nodes} node(s), {_words(pools, config)}",
                file=sys.stderr,
            )
            yield from _running(
                nodes, configs, config, files, pools, len(requests), retry_failed, observe
            )
    finally:
        cluster.stop()


def _pools(config: BuildConfig, files: WorkFiles, lock: CorpusLock) -> Pools:
    import ray

    from pipeline.run.pools import Pools

    def sizes() -> dict[str, PoolSize]:
        return placement.pools(config.workers, ray.cluster_resources())

    return Pools(files, lock.fence, sizes(), config.workers.node_cache_gb, cluster.watch(), sizes)


def _words(pools: Pools, config: BuildConfig) -> str:
    workers = config.workers
    gpu = (
        f"{workers.gpu_workers} GPU workers of {workers.videos_per_gpu_worker} videos, "
        if workers.gpu_workers
        else ""
    )
    return (
        f"{pools.sizes['cpu'].workers} CPU workers, {gpu}{workers.net_workers} downloads at a time"
    )


def _running(
    nodes, configs, config, files, pools, num_requests, retry_failed, observe
) -> Iterator[Runner]:
    from pipeline.run.cluster_limiter import ClusterLimiter, RemoteLimiter
    from pipeline.run.processes import Owner
    from pipeline.run.scheduler import Runner
    from pipeline.run.unit import Policy

    workers, next_status, next_state = config.workers, 0.0, 0.0
    figures = metrics.Metrics([n.name for n in nodes]) if metrics.port() is not None else None
    limiter = ClusterLimiter(RemoteLimiter.remote(config.download.limits, Owner.here()))
    progress = Progress(num_requests, [n.name for n in nodes], pools.at_work)
    log = EventLog(files.folder / NAME, progress.say)
    log.began(num_requests, version=version("yld-corpora"), pools=_words(pools, config))

    def write_status() -> None:
        write_atomic(
            files.folder / "status.json",
            json.dumps(status.rows(nodes, runner.entries, runner.pending())),
        )

    def tell_state() -> None:
        nonlocal next_state
        if figures is not None and time.monotonic() > next_state:
            next_state = time.monotonic() + STATUS_INTERVAL_S
            with contextlib.suppress(Exception):  # a limiter that begins again ends no run
                figures.state(runner.pending(), pools.num_running, limiter.num_parked())

    def seen(event, node, item) -> None:
        nonlocal next_status
        progress.observe(event, node, item)
        log.observe(event, node, item)
        if figures is not None:
            figures.observe(event, node.name, item)
            tell_state()
        if event == "finished":
            supervisor.progressed()
        if event in ("finished", "reused") and (began := time.monotonic()) > next_status:
            write_status()  # for `yld status` meanwhile, and after a kill -9
            ended = time.monotonic()  # counting millions of records must stay a small share
            next_status = ended + max(STATUS_INTERVAL_S, 50 * (ended - began))
        if observe is not None:
            observe(event, node, item, runner.entries)

    runner = Runner(
        nodes,
        configs,
        files,
        Ledger(files.folder / "ledger", files),
        pools,
        Policy(
            workers.attempts,
            workers.max_ahead,
            workers.parked_wait_s,
            retry_failed,
            pool_of=dict.fromkeys(workers.gpu_stages, "gpu") if workers.gpu_workers else {},
            limits=lambda name, declared: resources_for(config, name, declared),
        ),
        limiter,
        seen,
        cluster.check,
    )
    cause: BaseException | None = None
    try:
        with progress:
            yield runner
        files.flush()
        runner.ledger.settle()
    except BaseException as error:
        cause = error
        raise
    finally:
        log.ended(cause)
        pools.close()
        write_status()


def _own_files(requests: Sequence[Any], at_most: int = 200) -> list[str]:
    """Some of the requests that are files or folders, evenly drawn."""
    paths = [a for a in (getattr(r, "address", "") for r in requests) if a.startswith("/")]
    return paths[:: max(1, len(paths) // at_most)]
