"""Which worker runs what: pools of workers, checked before any work starts.

A stage that asks for a GPU and cannot have one is an error here, never a wait without an end and
never a run on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config import BuildConfig, WorkersConfig
from pipeline.settings import ConfigError
from stages.base import SetupError


def devices(config: BuildConfig) -> dict[str, tuple[str, str, str]]:
    """Setting -> (stage, backend, device), of everything that may run on a GPU."""
    faces = config.shots.faces
    return {
        "shots.faces.device": ("shots", faces.detector, faces.device),
        "shots.faces.landmarks_device": ("shots", faces.landmarks, faces.landmarks_device),
        "tracks.device": ("tracks", config.tracks.embedder, config.tracks.device),
        "identity.device": ("identity", config.identity.embedder, config.identity.device),
    }


def check(config: BuildConfig) -> None:
    """Whether the settings of the workers can be meant. Raises ConfigError."""
    workers = config.workers
    if workers.gpu_stages and not workers.gpu_workers:
        raise ConfigError(f"workers.gpu_stages names {', '.join(workers.gpu_stages)} and "
                          "workers.gpu_workers is 0: nobody would run them; set it to 1 or more")
    for setting, (stage, _, device) in devices(config).items():
        if device == "cuda" and stage in workers.gpu_stages and not workers.gpus_per_worker:
            raise ConfigError(
                f"{setting} is cuda and workers.gpus_per_worker is 0: workers without a share of "
                "a GPU cannot run it; give them one, or set the device to cpu")


def pools(workers: WorkersConfig, resources: Mapping[str, float]) -> dict[str, Any]:
    """Pool sizes for what the Ray cluster has. Raises SetupError where its GPUs do not do."""
    from pipeline.pools import PoolSize

    cpus, gpus = int(resources.get("CPU", 1)), resources.get("GPU", 0.0)
    wanted = workers.gpu_workers * workers.gpus_per_worker
    if wanted > gpus + 1e-6:
        raise SetupError(
            f"workers.gpu_workers={workers.gpu_workers} with gpus_per_worker="
            f"{workers.gpus_per_worker:g} want {wanted:g} GPUs and Ray sees {gpus:g}; ask for "
            "less, or join a cluster that has them (to try such workers without a GPU, set the "
            "devices to cpu and workers.gpus_per_worker=0)")
    num_cpu = workers.cpu_workers or cpus
    return {
        "cpu": PoolSize(num_cpu, min(1.0, cpus / num_cpu), 0.0),
        "net": PoolSize(workers.net_workers, 0.0, 0.0),
        "gpu": PoolSize(workers.gpu_workers, 0.0, workers.gpus_per_worker,
                        workers.videos_per_gpu_worker, workers.pictures_per_batch),
    }
