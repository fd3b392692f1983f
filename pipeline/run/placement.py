"""Which worker runs what: pools of workers, checked before any work starts.

A stage that asks for a GPU and cannot have one is an error here, never a wait without an end and
never a run on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.build_config import BuildConfig, WorkersConfig
from pipeline.config.settings import ConfigError
from pipeline.graph import NODES, Node
from stages.backends.devices import torch_device
from stages.base import SetupError


def check_stages(nodes: Sequence[Node], configs: Mapping[str, Any], *, here: bool) -> None:
    """Each stage's look at its own settings before any work; `here`: workers are on this machine.

    Raises SetupError, or ValueError, with the way out.
    """
    stages = [(node.stage(), configs.get(node.name)) for node in nodes]
    for stage, config in stages if here else ():
        stage.check_here(config)
    if here and any("cuda" in stage.devices(config).values() for stage, config in stages):
        torch_device("cuda")
    for stage, config in stages:
        stage.check(config)


def check(config: BuildConfig) -> None:
    """Whether the settings of the workers can be meant. Raises ConfigError."""
    workers = config.workers
    if workers.gpu_stages and not workers.gpu_workers:
        raise ConfigError(
            f"workers.gpu_stages names {', '.join(workers.gpu_stages)} and "
            "workers.gpu_workers is 0: nobody would run them; set it to 1 or more"
        )
    for name in workers.gpu_stages if not workers.gpus_per_worker else ():
        devices = NODES[name].stage().devices(getattr(config, name))
        for setting in [s for s, device in devices.items() if device == "cuda"]:
            raise ConfigError(
                f"{name}.{setting} is cuda and workers.gpus_per_worker is 0: workers without a "
                "share of a GPU cannot run it; give them one, or set the device to cpu"
            )


def pools(workers: WorkersConfig, resources: Mapping[str, float]) -> dict[str, Any]:
    """Pool sizes for what the Ray cluster has. Raises SetupError where its GPUs do not do."""
    from pipeline.run.engines.engine import PoolSize

    cpus, gpus = int(resources.get("CPU", 1)), resources.get("GPU", 0.0)
    wanted = workers.gpu_workers * workers.gpus_per_worker
    if wanted > gpus + 1e-6:
        raise SetupError(
            f"workers.gpu_workers={workers.gpu_workers} with gpus_per_worker="
            f"{workers.gpus_per_worker:g} want {wanted:g} GPUs and Ray sees {gpus:g}; ask for "
            "less, or join a cluster that has them (to try such workers without a GPU, set the "
            "devices to cpu and workers.gpus_per_worker=0)"
        )
    num_cpu = workers.cpu_workers or cpus
    return {
        "cpu": PoolSize(num_cpu, min(1.0, cpus / num_cpu), 0.0),
        "net": PoolSize(workers.net_workers, 0.0, 0.0),
        "gpu": PoolSize(
            workers.gpu_workers,
            0.0,
            workers.gpus_per_worker,
            workers.videos_per_gpu_worker,
            workers.pictures_per_batch,
        ),
    }
