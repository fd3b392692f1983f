"""How a model is trained: steps, rates, precision, when it is judged and kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from manifests.records import col


@dataclass(frozen=True)
class Recipe:
    """Settings of the loop; each model's presets give theirs, with where the paper says so."""

    steps: int = col("steps of the optimizer", "step", default=1000, at_least=1)
    batch: int = col("clips a step, over all ranks", default=16, at_least=1)
    accumulate: int = col("parts that a step's clips are taken in", default=1, at_least=1)
    optimizer: Literal["adam", "adamw", "sgd"] = col("kind", default="adam")
    learning_rate: float = col("the highest", default=1e-3, above=0.0)
    beta1: float = col("Adam's first, or SGD's momentum", default=0.9, at_least=0.0)
    beta2: float = col("Adam's second", default=0.999, at_least=0.0)
    amsgrad: bool = col(
        "Adam's and AdamW's variant whose second moment never falls again", default=False
    )
    weight_decay: float = col("of all parameters", default=0.0, at_least=0.0)
    warmup_steps: int = col("from 0 to the highest rate, linearly", "step", default=0, at_least=0)
    schedule: Literal["constant", "cosine", "exponential"] = col(
        "after the warm-up: as it is, to 0 at the last step, or times `decay` each `decay_steps`",
        default="constant",
    )
    decay: float = col("factor of the exponential schedule", default=0.95, above=0.0)
    decay_steps: int = col("its steps", "step", default=1000, at_least=1)
    clip_norm: float | None = col("largest norm of the gradient; none if null", default=None)
    precision: Literal["32", "bf16"] = col("of the forward pass", default="32")
    average: float | None = col(
        "decay of the exponential average of the weights that is judged and kept; none if null",
        default=None,
    )
    freeze_batch_norm: bool = col("batch norms keep the statistics they have", default=False)
    validate_every_steps: int = col("0: at the end alone", "step", default=0, at_least=0)
    patience: int | None = col(
        "judgements without a better one before the training ends; null: never", default=None
    )
    save_every_steps: int = col("a checkpoint", "step", default=100, at_least=1)
    log_every_steps: int = col("a line of losses", "step", default=1, at_least=1)
    seed: int = col("of all chance", default=0)

    def __post_init__(self) -> None:
        if self.batch % self.accumulate:
            raise ValueError(
                f"accumulate must divide batch: {self.batch} clips are not {self.accumulate} "
                "equal parts"
            )

    @property
    def part(self) -> int:
        """Clips of one forward pass, over all ranks."""
        return self.batch // self.accumulate


def rate_at(recipe: Recipe, step: int) -> float:
    """The learning rate of step 0, 1, ...: a function of the step alone, so nothing to save.

    It begins at 0 with a warm-up, and a cosine would be 0 at step `steps`, the first not taken.
    """
    if step < recipe.warmup_steps:
        return recipe.learning_rate * step / recipe.warmup_steps
    if recipe.schedule == "cosine":
        length = max(1, recipe.steps - recipe.warmup_steps)
        done = min(1.0, (step - recipe.warmup_steps) / length)
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    if recipe.schedule == "exponential":
        return recipe.learning_rate * recipe.decay ** (step // recipe.decay_steps)
    return recipe.learning_rate


def optimizer_of(recipe: Recipe, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The optimizer; its rate is set before each step by `rate_at`."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=recipe.beta1, weight_decay=decay)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    betas = recipe.beta1, recipe.beta2
    return kind(parameters, rate, betas=betas, weight_decay=decay, amsgrad=recipe.amsgrad)
