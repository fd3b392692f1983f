"""What a model adds to the loop: its networks, the rounds of a step, and how a clip is judged.

A `System` is a `LightningModule`, so that it also runs under a `Trainer` of one's own. The rounds
of a step are asked for one after the other: the second sees the networks as the first left them,
which is what models that are trained against a critic need.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.data.loader import Batch
from training.harness.chance import begin_step
from training.harness.ranks import join_gradients, rank
from training.harness.recipe import Recipe, optimizer_of, rate_at

Facts = dict[str, Any]
"""What a model knows of its training data (speakers, scales), as plain JSON; kept with it."""


class Config(Protocol):
    """A model's settings: at least the loop's."""

    @property
    def recipe(self) -> Recipe: ...


@dataclass(frozen=True)
class Round:
    """One loss of a step, and whose parameters it moves."""

    player: str
    loss: Tensor
    told: Mapping[str, Tensor]
    """Its terms by name, for the log."""


@dataclass(frozen=True)
class Criterion:
    """By which figure of `judge` the best weights are chosen."""

    name: str
    is_high_good: bool

    def is_better(self, new: float, old: float | None) -> bool:
        return old is None or (new > old if self.is_high_good else new < old)


class System(lightning.LightningModule):
    """A model in training. `network` is what is kept; other players only training knows."""

    network: nn.Module
    criterion: Criterion

    def __init__(self, config: Config, facts: Facts) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe, self.facts = config.recipe, facts
        self.parts_done = 0
        """Forward passes so far: `accumulate` of them are a step."""
        self.busy_s = 0.0
        """Seconds spent on steps by this process, waiting for data left out."""
        self.told: dict[str, float] = {}
        """The losses of the last step."""
        self.average: AveragedModel | None = None

    def players(self) -> dict[str, nn.Module]:
        """Whose parameters are moved, by name, each with an optimizer of its own."""
        return {"network": self.network}

    def rounds(self, batch: Batch) -> Iterator[Round]:
        """The losses of a step, in the order in which they are taken."""
        raise NotImplementedError

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Figures of each clip of a batch (without padding), under `torch.no_grad`; a figure that
        a clip does not have is left out of its row."""
        raise NotImplementedError

    def figures(self, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """What a judgement comes to, of the rows of all its clips: here the mean of each figure
        over the clips that have it."""
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}

    def remarks(self, figures: Mapping[str, float]) -> Sequence[str]:
        """Sentences for the user that a judgement's figures call for."""
        return ()

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """Of a judged batch, what is to be seen or heard: name -> uint8 [H, W, 3], or float32 [S]
        of 16 kHz sound."""
        return {}

    # -- the loop's side ------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Steps of the optimizers that are done."""
        return self.parts_done // self.recipe.accumulate

    @property
    def judged(self) -> nn.Module:
        """The network that is judged and kept: the average, where there is one."""
        return self.network if self.average is None else self.average.module

    def begin_average(self) -> None:
        """Once the network is on its device."""
        if self.recipe.average is not None and self.average is None:
            decay = get_ema_multi_avg_fn(self.recipe.average)
            self.average = AveragedModel(self.network, multi_avg_fn=decay, use_buffers=True)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One for each player, in their order."""
        return [optimizer_of(self.recipe, p.parameters()) for p in self.players().values()]

    def own_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """By player. Lightning's wrappers count their steps, which are not ours."""
        found = self.optimizers(use_pl_optimizer=False)
        listed = found if isinstance(found, list) else [found]
        return dict(zip(self.players(), listed, strict=True))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """A part of a step; the parameters move with its last part."""
        recipe, began_s = self.recipe, time.perf_counter()
        begin_step(recipe.seed, self.parts_done, rank())
        if recipe.freeze_batch_norm:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        is_first = self.parts_done % recipe.accumulate == 0
        is_last = (self.parts_done + 1) % recipe.accumulate == 0
        optimizers = self.own_optimizers()
        told: dict[str, Tensor] = {}
        for player, optimizer in optimizers.items():
            if is_first:
                optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = rate_at(recipe, self.step) * self.rate_factor(player)
        for turn in self.rounds(batch):
            self.manual_backward(turn.loss / recipe.accumulate)
            told |= {name: value.detach() for name, value in turn.told.items()}
            if is_last:
                told |= self._move(turn.player, optimizers[turn.player])
        # One wait for the device a step, not one a loss.
        names = list(told)
        values = torch.stack([told[n].float().reshape(()) for n in names]).tolist() if told else []
        share = 1 / recipe.accumulate
        if is_first:
            self.told = {}
        for name, value in zip(names, values, strict=True):
            whole = name.startswith("gradient")
            self.told[name] = self.told.get(name, 0.0) + value * (1.0 if whole else share)
        self.parts_done += 1
        self.busy_s += time.perf_counter() - began_s
        if is_last and self.average is not None:
            self.average.update_parameters(self.network)

    def rate_factor(self, player: str) -> float:
        """By how much a player's rate is another than the recipe's."""
        return 1.0

    def _move(self, player: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        parameters = list(self.players()[player].parameters())
        join_gradients(parameters)
        limit = self.recipe.clip_norm if self.recipe.clip_norm is not None else float("inf")
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {f"gradient_{player}": norm.detach()}

    @contextlib.contextmanager
    def held(self, player: nn.Module) -> Iterator[None]:
        """Gradients go through a player's networks and not to their parameters."""
        parameters: Sequence[nn.Parameter] = list(player.parameters())
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
