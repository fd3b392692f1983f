"""When a run is judged, saved, logged and ended: by the count of steps, which a resume keeps."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback

from manifests.files import write_atomic
from training.data.advice import advice, worker_speed
from training.data.collate import without_padding
from training.data.loader import Loader
from training.harness import checkpoints, ranks
from training.harness.chance import begin_step
from training.harness.job import Job, Outcome, as_samples
from training.harness.log import Log
from training.harness.system import System
from training.losses.across import world_size

KEPT_CHECKPOINTS = 2
SILENCE_S = 10
"""So long nothing may be said."""
ADVISED_AFTER, ADVISED_ROWS = 8, 8
"""Steps, and rows that are decoded once more to know how fast that is."""


class Keeper(Callback):
    """Judges, keeps, logs and ends a run: all by the count of steps, which a resume keeps."""

    def __init__(self, job: Job, loader: Loader, judging: Loader) -> None:
        self.job, self.loader, self.judging = job, loader, judging
        self.is_stopping = threading.Event()
        self.why = "done"
        self.best: dict[str, float] | None = None
        self.best_step: int | None = None
        self.since_best = 0
        self.log: Log | None = None
        self.judged_at = -1
        self.judging_s: float | None = None
        """How long the last time took."""
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
        if last is None:
            self._spare_earlier_best()
        else:
            told = checkpoints.restore(last, system)
            self.loader.load_state_dict(told["loader"])
            self.best, self.best_step = told["best"], told["best_step"]
            self.since_best = told["since_best"]
            self.job.say(f"going on from step {system.step} ({last.name})")
        ranks.same_everywhere(system.network)
        self.began_step = system.step
        self.log = Log(
            self.job.out if ranks.rank() == 0 else None,
            system.step,
            self.job.logger,
            {"model": self.job.model, "preset": self.job.preset, **self.job.config},
        )

    def _spare_earlier_best(self) -> None:
        """A run without a checkpoint begins anew; weights that an earlier one chose are kept under
        another name."""
        best = self.job.out / "best.safetensors"
        if ranks.rank() != 0 or not best.exists():
            return
        numbers = (
            n for n in range(1, 10_000) if not (self.job.out / f"best-{n}.safetensors").exists()
        )
        kept = best.with_name(f"best-{next(numbers)}.safetensors")
        best.rename(kept)
        self.job.say(
            f"no checkpoint is there to go on from: beginning anew, and the best weights of before "
            f"are {kept.name}"
        )

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
        job, learnt = self.job, as_samples(self.job.parts.learnt)
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
        if now - self.last_word_s < SILENCE_S and system.step not in (1, system.recipe.steps):
            return
        self.last_word_s = now
        rate = (now - self.began_s) / max(1, system.step - self.began_step)
        left_min = rate * (system.recipe.steps - system.step) / 60
        if self.job.minutes is not None:
            left_min = min(left_min, max(0.0, self.job.minutes - (now - self.began_s) / 60))
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
        begun_s = time.monotonic()
        if self.judging_s is None or self.judging_s > SILENCE_S:
            self.job.say(f"step {system.step}: judging")
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
        by = "1 clip" if len(rows) == 1 else f"{len(rows)} clips"
        if told:
            self.job.say(f"step {system.step}, judged on {by}: {told}")
        for remark in system.remarks(figures):
            self.job.say(remark)
        if ranks.rank() == 0:
            clips = {row["key"]: row["figures"] for row in rows}
            write_atomic(
                self.job.out / "judged.json", json.dumps({"step": system.step, "clips": clips})
            )
        self._choose(system, figures)
        self.judging_s = time.monotonic() - begun_s

    def _choose(self, system: System, figures: dict[str, float]) -> None:
        """Keep the weights if they are better than the best so far."""
        criterion = system.criterion
        value = figures.get(criterion.name, math.nan)
        if not math.isfinite(value):
            what = "no weights are chosen yet" if self.best is None else "the best weights stay"
            self.job.say(f"step {system.step}: no clip that judges has {criterion.name}; {what}")
        old = None if self.best is None else self.best[criterion.name]
        if math.isfinite(value) and criterion.is_better(value, old):
            self.best, self.best_step, self.since_best = figures, system.step, 0
            if ranks.rank() == 0:
                about = self._description(system)
                checkpoints.save_weights(self.job.out / "best.safetensors", system, about)
        elif math.isfinite(value) or self.best is not None:
            self.since_best += 1  # before the first figure there is nothing to be patient for

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
