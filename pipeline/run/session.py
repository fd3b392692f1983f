"""One run: its engine, with pools and progress around a Runner, all closed at the end.

The engine is Ray, but where one worker is all that the run can use (`needs_ray`): then a process of
our own does the work, and nobody waits for Ray to start.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from manifests.files import sweep_temporaries, write_atomic
from pipeline.config.build_config import BuildConfig, resources_for
from pipeline.graph import Node
from pipeline.run import cluster, metrics, placement, status, supervisor
from pipeline.run.events import NAME, EventLog
from pipeline.run.ledger import Ledger
from pipeline.run.progress import Progress
from pipeline.storage import removed
from pipeline.storage.lock import RECORDS, CorpusLock
from pipeline.storage.work_files import WorkFiles

if TYPE_CHECKING:
    from pipeline.run.engines.engine import Engine, PoolSize
    from pipeline.run.pools import Pools
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
    engine = _on_ray if needs_ray(config, requests, address) else _by_itself
    with engine(config, files, lock, requests, address) as (pools, num_nodes):
        print(
            f"{len(requests)} sources; {num_nodes} node(s), {_words(pools, config)}",
            file=sys.stderr,
        )
        yield from _running(
            nodes, configs, config, files, pools, len(requests), retry_failed, observe
        )


def needs_ray(config: BuildConfig, requests: Sequence[Any], address: str | None) -> bool:
    """Whether a second worker would have work; links may stand for many videos.

    GPU workers, which share batches, and metrics are Ray's too.
    """
    workers = config.workers
    if address or workers.gpu_workers or metrics.port() is not None:
        return True
    is_open = any(getattr(request, "kind", None) == "link" for request in requests)
    num_cpu = workers.cpu_workers or cluster.visible_cpus()
    return num_cpu > 1 and (is_open or len(requests) > 1)


@contextmanager
def _on_ray(config, files, lock, requests, address) -> Iterator[tuple[Pools, int]]:
    cluster.start(address)
    try:
        with cluster.errors_told():
            num_nodes = len(cluster.prove_nodes(files, _own_files(requests)))
            import ray

            from pipeline.run.engines.ray_engine import RayEngine

            def sizes() -> dict[str, PoolSize]:
                return placement.pools(config.workers, ray.cluster_resources())

            yield _pools(RayEngine(), config, files, lock, sizes), num_nodes
    finally:
        cluster.stop()


@contextmanager
def _by_itself(config, files, lock, requests, address) -> Iterator[tuple[Pools, int]]:
    from pipeline.run.engines.process_engine import ProcessEngine

    cluster.prepare()
    sweep_temporaries(files.on_this_node().folder / RECORDS)

    def sizes() -> dict[str, PoolSize]:
        found = placement.pools(config.workers, {"CPU": cluster.visible_cpus()})
        return found | {"cpu": replace(found["cpu"], workers=1)}

    yield _pools(ProcessEngine(), config, files, lock, sizes), 1


def _pools(engine: Engine, config: BuildConfig, files, lock, sizes) -> Pools:
    from pipeline.run.pools import Pools

    cache_gb = config.workers.node_cache_gb
    return Pools(engine, files, lock.fence, sizes(), cache_gb, cluster.watch(), sizes)


def _words(pools: Pools, config: BuildConfig) -> str:
    workers = config.workers
    gpu = (
        f"{workers.gpu_workers} GPU workers of {workers.videos_per_gpu_worker} videos, "
        if workers.gpu_workers
        else ""
    )
    num_cpu = pools.sizes["cpu"].workers
    return (
        f"{num_cpu} CPU worker{'s' * (num_cpu != 1)}, {gpu}"
        f"{workers.net_workers} downloads at a time"
    )


def _running(
    nodes, configs, config, files, pools, num_requests, retry_failed, observe
) -> Iterator[Runner]:
    from pipeline.run.scheduler import Runner
    from pipeline.run.unit import Policy

    workers, next_status, next_state = config.workers, 0.0, 0.0
    figures = metrics.Metrics([n.name for n in nodes]) if metrics.port() is not None else None
    limiter = pools.engine.limiter(config.download.limits)
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
            removed=removed.read(files.folder),
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
