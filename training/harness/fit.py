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
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

from manifests.files import write_atomic
from training.data.advice import advice, worker_speed
from training.data.collate import without_padding
from training.data.loader import Loader, Share, mixture_of
from training.data.mixture import EvaluationPlan, TrainingPlan
from training.data.samples import Samples
from training.harness import checkpoints, ranks
from training.harness.chance import begin_step
from training.harness.data import Parts
from training.harness.log import Log
from training.harness.recipe import Recipe
from training.harness.system import System
from training.losses.across import world_size

KEPT_CHECKPOINTS = 2
ADVISED_AFTER, ADVISED_ROWS = 8, 8
"""Steps, and rows that are decoded once more to know how fast that is."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """All that a run is made of."""

    model: str
    preset: str
    config: Any
    """The model's settings as plain JSON, for the files."""
    build: Callable[[], System]
    """The system, its facts within; called on each rank."""
    decode: Callable
    parts: Parts
    weights: Sequence[float] | None
    out: Path
    code_version: str
    num_workers: int = 0
    device: str = "cpu"
    minutes: float | None = None
    """A limit of time beside the limit of steps."""
    say: Say = field(default=lambda _: None)


@dataclass
class Outcome:
    """How a run ended."""

    step: int
    why: str
    """done | stopped | time | patience"""
    best: dict[str, float] | None
    best_step: int | None


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
    learnt = _as_samples(job.parts.learnt)
    mixture = mixture_of(learnt, _weights(job, learnt), recipe.seed)
    loader = Loader(learnt, job.decode, TrainingPlan(mixture, recipe.part), share)
    keeper = _Keeper(job, loader, _judging(job, recipe.part, recipe.seed))
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = _trainer(job, keeper)
    trainer._signal_connector = _NoSignals(trainer)
    with _signals(keeper), warnings.catch_warnings():
        # Of a loop that is not asked to log, checkpoint or count workers.
        warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*")
        trainer.fit(system, train_dataloaders=loader)
    loader.close()
    return keeper.outcome(system)


def _over(job: Job, recipe: Recipe) -> Outcome | None:
    """How a training that is done had ended."""
    last = checkpoints.last_checkpoint(job.out / "checkpoints")
    if last is None:
        return None
    told = json.loads((last / checkpoints.PLAIN).read_text())
    if (step := told["parts_done"] // recipe.accumulate) < recipe.steps:
        return None
    return Outcome(step, "done", told["best"], told["best_step"])


def _weights(job: Job, learnt: Sequence[Samples]) -> Sequence[float] | None:
    if len(learnt) == 1:
        return None
    return job.weights if job.weights is not None else [len(part) for part in learnt]


def _as_samples(parts: Sequence[Any]) -> Sequence[Samples]:
    """`Selected` has all that a loader asks of `Samples`."""
    return list(parts)


def _judging(job: Job, rows: int, seed: int) -> Loader:
    parts = _as_samples(job.parts.judging)
    mixture = mixture_of(parts, [1] * len(parts), seed)
    share = Share(ranks.rank(), world_size())
    return Loader(parts, job.decode, EvaluationPlan(mixture, max(rows, world_size())), share)


def _trainer(job: Job, keeper: Callback) -> lightning.Trainer:
    is_gpu = job.device.startswith("cuda")
    number = int(job.device.partition(":")[2] or 0)
    precision = keeper.precision  # type: ignore[attr-defined]
    return lightning.Trainer(
        accelerator="gpu" if is_gpu else "cpu",
        devices=[number] if is_gpu else 1,
        strategy="auto",
        precision=precision,
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


class _Keeper(Callback):
    """Judges, keeps, logs and ends a run: all by the count of steps, which a resume keeps."""

    def __init__(self, job: Job, loader: Loader, judging: Loader) -> None:
        self.job, self.loader, self.judging = job, loader, judging
        self.precision = {"32": "32-true", "bf16": "bf16-mixed"}[job.config["recipe"]["precision"]]
        self.is_stopping = threading.Event()
        self.why = "done"
        self.best: dict[str, float] | None = None
        self.best_step: int | None = None
        self.since_best = 0
        self.log: Log | None = None
        self.judged_at = -1
        self.began_s = self.last_word_s = time.monotonic()
        self.began_step = 0

    @property
    def _folder(self) -> Path:
        return self.job.out / "checkpoints"

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Optimizers are made and all is on its device: go on from the last checkpoint."""
        system = _system(pl_module)
        system.begin_average()
        last = checkpoints.last_checkpoint(self._folder)
        if last is not None:
            told = checkpoints.restore(last, system)
            self.loader.load_state_dict(told["loader"])
            self.best, self.best_step = told["best"], told["best_step"]
            self.since_best = told["since_best"]
            self.job.say(f"going on from step {system.step} ({last.name})")
        ranks.same_everywhere(system.network)
        self.began_step = system.step
        self.log = Log(self.job.out if ranks.rank() == 0 else None, system.step)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """After the last part of a step."""
        system = _system(pl_module)
        recipe = system.recipe
        if system.parts_done % recipe.accumulate:
            return
        step = system.step
        if step % recipe.log_every_steps == 0 and self.log is not None:
            self.log.figures("train", step, system.told)
        self._speak(system)
        self._advise(system)
        is_due = bool(recipe.validate_every_steps) and step % recipe.validate_every_steps == 0
        if is_due and step < recipe.steps:
            self.judge(system)
        why = self._why_end(system)
        if why is not None:
            self.why, trainer.should_stop = why, True
            if why != "stopped":
                self.judge(system)
        if step % recipe.save_every_steps == 0 or why is not None:
            self.save(system)

    def _why_end(self, system: System) -> str | None:
        recipe, minutes = system.recipe, self.job.minutes
        if system.step >= recipe.steps:
            return "done"
        if recipe.patience is not None and self.since_best > recipe.patience:
            return "patience"
        late = minutes is not None and time.monotonic() - self.began_s > 60 * minutes
        device = system.device
        if ranks.any_rank(self.is_stopping.is_set(), device):
            return "stopped"
        return "time" if ranks.any_rank(late, device) else None

    def _advise(self, system: System) -> None:
        """Once the first steps are over: whether more workers would make it faster."""
        if system.step != self.began_step + ADVISED_AFTER or ranks.rank() != 0:
            return
        job, learnt = self.job, _as_samples(self.job.parts.learnt)
        decode = getattr(job.decode, "view", job.decode)
        speed = worker_speed(learnt, decode, self.loader.plan, ADVISED_ROWS)
        told = advice(
            speed,
            system.busy_s / ADVISED_AFTER,
            system.recipe.batch,
            world_size(),
            job.num_workers,
        )
        self.job.say(told.replace("num_workers=", "--workers "))

    def _speak(self, system: System) -> None:
        now = time.monotonic()
        if now - self.last_word_s < 10 and system.step not in (1, system.recipe.steps):
            return
        self.last_word_s = now
        rate = (now - self.began_s) / max(1, system.step - self.began_step)
        left_min = rate * (system.recipe.steps - system.step) / 60
        losses = ", ".join(f"{k} {v:.3f}" for k, v in system.told.items())
        self.job.say(
            f"step {system.step} of {system.recipe.steps}: {losses}; {rate:.2f} s a step, "
            f"{left_min:.1f} min left"
        )

    @torch.no_grad()
    def judge(self, system: System) -> None:
        """All clips that judge, each once; the best weights so far are kept."""
        if self.judged_at == system.step:
            return
        self.judged_at = system.step
        network = system.judged
        ranks.same_everywhere(network)
        was_training = network.training
        network.eval()
        rows, shown = [], {}
        for number, batch in enumerate(self.judging):
            begin_step(system.recipe.seed, number, ranks.rank())
            real = without_padding(batch)
            if not real["key"]:
                continue
            real = system.transfer_batch_to_device(real, system.device, 0)
            found = system.judge(network, real)
            rows += _named(real, found)
            if number == 0 and ranks.rank() == 0:
                shown = system.show(network, real)
        network.train(was_training)
        rows = ranks.all_rows(rows)
        figures = system.figures([row["figures"] for row in rows])
        if self.log is not None:
            self.log.figures("judge", system.step, figures)
            self.log.shown(system.step, shown)
        told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        self.job.say(f"step {system.step}, {len(rows)} clips judge: {told}")
        for remark in system.remarks(figures):
            self.job.say(remark)
        if ranks.rank() == 0:
            clips = {row["key"]: row["figures"] for row in rows}
            write_atomic(
                self.job.out / "judged.json", json.dumps({"step": system.step, "clips": clips})
            )
        self._choose(system, figures)

    def _choose(self, system: System, figures: dict[str, float]) -> None:
        """Keep the weights if they are better than the best so far."""
        criterion = system.criterion
        value = figures.get(criterion.name, math.nan)
        if not math.isfinite(value):
            self.job.say(f"no clip that judges has a {criterion.name}; the best weights stay")
        old = None if self.best is None else self.best[criterion.name]
        if math.isfinite(value) and criterion.is_better(value, old):
            self.best, self.best_step, self.since_best = figures, system.step, 0
            if ranks.rank() == 0:
                about = self._description(system)
                checkpoints.save_weights(self.job.out / "best.safetensors", system, about)
        else:
            self.since_best += 1

    def save(self, system: System) -> None:
        """A checkpoint, by rank 0; the oldest goes."""
        if ranks.rank() != 0:
            return
        plain = {
            "loader": self.loader.state_dict(),
            "best": self.best,
            "best_step": self.best_step,
            "since_best": self.since_best,
        }
        checkpoints.save(self._folder, system, self._description(system), plain)
        checkpoints.prune(self._folder, KEPT_CHECKPOINTS)

    def _description(self, system: System) -> checkpoints.Description:
        job = self.job
        return checkpoints.Description(
            job.model,
            job.preset,
            job.config,
            system.facts,
            self.loader.state_dict(),
            system.step,
            job.code_version,
        )

    def outcome(self, system: System) -> Outcome:
        """Closes the log."""
        if self.log is not None:
            self.log.close()
        return Outcome(system.step, self.why, self.best, self.best_step)


def _named(batch: Any, figures: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """A row a clip, with its key and its place, by which the ranks' rows are put in order."""
    return [
        {"position": at, "key": key, "figures": row}
        for at, key, row in zip(batch["position"].tolist(), batch["key"], figures, strict=True)
    ]


def _system(module: lightning.LightningModule) -> System:
    assert isinstance(module, System)
    return module


class _NoSignals(_SignalConnector):
    """Leaves all signals alone.

    Lightning's sets every signal's handler back to what Python knows of it when a run ends: the
    default, for those that libraries set in C. A library with a profiling timer (SIGPROF) then
    ended the process, and faulthandler was off.
    """

    def register_signal_handlers(self) -> None:
        """`_signals` has its own."""

    def teardown(self) -> None:
        """Nothing was changed."""


class _signals:
    """Ctrl-C and SIGTERM end a run after its step, with a checkpoint; a second Ctrl-C at once."""

    def __init__(self, keeper: _Keeper) -> None:
        self._keeper = keeper
        self._before: dict[int, Any] = {}

    def _asked(self, number: int, _: object) -> None:
        if self._keeper.is_stopping.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._keeper.is_stopping.set()
        self._keeper.job.say("stopping after this step; the same command goes on from there")

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._asked)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def write_run(out: Path, told: dict[str, Any]) -> None:
    """`run.json`, which the next run of the same command compares itself with."""
    write_atomic(out / "run.json", json.dumps(told, indent=1) + "\n")
