"""Chance on tensors, drawn from what a row is and not from which process meets it.

Two kinds. What belongs to a clip (noise, where its segment lies) comes from (seed, purpose,
position), so that it is the same at any number of ranks. What belongs to a step (dropout) comes
from torch's own generator, which is set anew from (seed, step, rank) before each: a run that goes
on draws what it would have drawn, and no generator's state needs keeping.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.data.order import key_of


def _generator(*what: int | str) -> torch.Generator:
    made = torch.Generator()
    made.manual_seed(int.from_bytes(key_of(*what)[:7], "big"))
    return made


def normal(seed: int, purpose: str, positions: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 [B, *shape] for rows at `positions` int [B], on their device."""
    rows = [
        torch.randn(shape, generator=_generator("row", seed, purpose, position))
        for position in positions.tolist()
    ]
    made = torch.stack(rows) if rows else torch.zeros(0, *shape)
    return made.to(positions.device)


def uniform(seed: int, purpose: str, positions: Tensor) -> Tensor:
    """Float32 [B] in [0, 1) for rows at `positions` int [B], on their device."""
    rows = [
        torch.rand((), generator=_generator("row", seed, purpose, position))
        for position in positions.tolist()
    ]
    return (torch.stack(rows) if rows else torch.zeros(0)).to(positions.device)


def begin_step(seed: int, step: int, rank: int) -> None:
    """Set torch's generators for what a step draws."""
    torch.manual_seed(int.from_bytes(key_of("step", seed, step, rank)[:7], "big"))
