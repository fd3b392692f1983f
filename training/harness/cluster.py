"""Several processes that train together, on one machine or a cluster, by Ray Train.

Ray starts the ranks, joins them (NCCL on GPUs, else Gloo) and, when a worker or its machine is
lost, starts them all again; each then goes on from the last checkpoint below `out`, which all
machines must see under the same path. Nothing else differs from one process: any number of ranks
takes the same batches.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from manifests.files import write_atomic
from training.harness.job import Outcome
from training.harness.ranks import rank
from training.harness.run import Request, train

RESTARTS = 3
OUTCOME = "outcome.json"
"""How the ranks ended, by rank 0: Ray keeps what is reported only beside checkpoints of its own."""


def train_together(
    request: Request, num_ranks: int, address: str | None = None, cpus: int = 1
) -> Outcome:
    """Start `num_ranks` processes, each with a GPU where the device is one. Raises RuntimeError
    where they fail again and again."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    is_gpu = request.device.startswith("cuda")
    out = request.out.resolve()
    request = replace(
        request, out=out, corpora=[_absolute(c) for c in request.corpora], device=request.device
    )
    packages = os.pathsep.join(p for p in sys.path if p and Path(p).is_dir())
    started = not ray.is_initialized()
    if started:
        ray.init(
            # A cluster that happens to run on this machine is not joined unasked.
            address=address or "local",
            include_dashboard=False,
            configure_logging=False,
            runtime_env={"env_vars": {"PYTHONPATH": packages}},
            # Ranks share the cores that there are, rather than wait for more.
            num_cpus=None if address else max(num_ranks * cpus + 1, os.cpu_count() or 1),
        )
    try:
        trainer = TorchTrainer(
            _rank,
            train_loop_config={"request": request},
            torch_config=TorchConfig(backend="nccl" if is_gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=num_ranks,
                use_gpu=is_gpu,
                resources_per_worker={"CPU": cpus, **({"GPU": 1} if is_gpu else {})},
            ),
            run_config=RunConfig(
                name="ranks",
                storage_path=str(out / "ray"),
                failure_config=FailureConfig(max_failures=RESTARTS),
            ),
        )
        trainer.fit()
    finally:
        if started:
            ray.shutdown()
    return Outcome(**json.loads((out / OUTCOME).read_text()))


def _absolute(corpus: str) -> str:
    return corpus if "://" in corpus else str(Path(corpus).resolve())


def _rank(config: dict[str, Any]) -> None:
    """One of the processes."""
    import torch
    from ray import train as ray_train

    request: Request = config["request"]
    if request.device.startswith("cuda"):
        request = replace(request, device=f"cuda:{ray_train.get_context().get_local_rank()}")
    else:
        torch.set_num_threads(1)
    outcome = train(request, lambda text: print(text, file=sys.stderr, flush=True))
    if rank() == 0:
        write_atomic(request.out / OUTCOME, json.dumps(vars(outcome)))
