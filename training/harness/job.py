"""What a run is made of, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.data.samples import Samples
from training.harness.data import DataConfig, Parts
from training.harness.system import System

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
    data: DataConfig
    out: Path
    code_version: str
    num_workers: int = 0
    device: str = "cpu"
    minutes: float | None = None
    """A limit of time beside the limit of steps."""
    logger: str = "tensorboard"
    """tensorboard | wandb"""
    say: Say = field(default=lambda _: None)


@dataclass
class Outcome:
    """How a run ended."""

    step: int
    why: str
    """done | stopped | time | patience"""
    best: dict[str, float] | None
    best_step: int | None


def as_samples(parts: Sequence[Any]) -> Sequence[Samples]:
    """`Selected` has all that a loader asks of `Samples`."""
    return list(parts)
