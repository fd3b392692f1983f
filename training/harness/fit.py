"""The run: from parts of corpora to a folder with weights, checkpoints and a log.

    OUT/run.json           what is trained, on what; the same command goes on from there
        checkpoints/       the last two, each whole (`checkpoints.py`)
        best.safetensors   the weights that judged best, with their description
        judged.json        the figures of each clip, when it was judged last
        log.jsonl          losses and figures, a line each
        tensorboard/

Each rank runs this with its share of each batch. Lightning drives the loop of one rank (device,
precision, hooks); ranks join in sums and gradients (`ranks.py`), so that nothing has to be wrapped.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback

from manifests.files import write_atomic
from training.data.lengths import ByLength
from training.data.loader import Loader, Share, mixture_of
from training.data.mixture import EvaluationPlan, TrainingPlan
from training.data.samples import Samples
from training.harness import checkpoints, ranks
from training.harness.data import DataConfig
from training.harness.job import Job, Outcome, as_samples
from training.harness.keeper import Keeper
from training.harness.recipe import Recipe
from training.harness.signals import Stopping, Untouched
from training.losses.across import world_size


def fit(job: Job) -> Outcome:
    """Train, or go on from the last checkpoint below `job.out`. Raises CheckpointError and
    StateError (other data), ShardError for a damaged sample."""
    system = job.build()
    recipe = system.recipe
    share = Share(
        ranks.rank(),
        world_size(),
        job.num_workers,
        pin_memory=job.device.startswith("cuda"),
    )
    if (over := _over(job, recipe)) is not None:
        return over
    learnt = as_samples(job.parts.learnt)
    loader = Loader(learnt, job.decode, plan_of(job.data, learnt, recipe), share)
    keeper = Keeper(job, loader, _judging(job, recipe.part, recipe.seed))
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with Stopping(keeper.is_stopping, job.say), warnings.catch_warnings():
        # Of a loop that is not asked to log, checkpoint, count workers or start processes.
        warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\..*")
        trainer = _trainer(job, keeper, recipe)
        trainer._signal_connector = Untouched(trainer)
        trainer.fit(system, train_dataloaders=loader)
    loader.close()
    return keeper.outcome(system)


def _over(job: Job, recipe: Recipe) -> Outcome | None:
    """How a training that is done had ended."""
    last = checkpoints.last_checkpoint(job.out / "checkpoints")
    if last is None:
        return None
    told = checkpoints.read_plain(last)
    if (step := told["parts_done"] // recipe.accumulate) < recipe.steps:
        return None
    return Outcome(step, "done", told["best"], told["best_step"])


def plan_of(data: DataConfig, learnt: Sequence[Samples], recipe: Recipe) -> TrainingPlan:
    """Which clips each part of a step is of."""
    weights: Sequence[float] | None = None
    if len(learnt) > 1:
        sizes = [len(part) for part in learnt]
        weights = data.weights if data.weights is not None else sizes
    mixture = mixture_of(learnt, weights, recipe.seed)
    if not data.by_length:
        return TrainingPlan(mixture, recipe.part)
    by_length = ByLength.of(learnt, recipe.part, data.by_length)
    return TrainingPlan(mixture, recipe.part, by_length=by_length)


def _judging(job: Job, rows: int, seed: int) -> Loader:
    parts = as_samples(job.parts.judging)
    mixture = mixture_of(parts, [1] * len(parts), seed)
    share = Share(ranks.rank(), world_size())
    return Loader(parts, job.decode, EvaluationPlan(mixture, max(rows, world_size())), share)


def _trainer(job: Job, keeper: Callback, recipe: Recipe) -> lightning.Trainer:
    is_gpu = job.device.startswith("cuda")
    number = int(job.device.partition(":")[2] or 0)
    return lightning.Trainer(
        accelerator="gpu" if is_gpu else "cpu",
        devices=[number] if is_gpu else 1,
        strategy="auto",
        precision="bf16-mixed" if recipe.precision == "bf16" else "32-true",
        max_epochs=-1,
        logger=False,
        callbacks=[keeper],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        barebones=False,
    )


def write_run(out: Path, told: dict[str, Any]) -> None:
    """`run.json`, which the next run of the same command compares itself with."""
    write_atomic(out / "run.json", json.dumps(told, indent=1) + "\n")
