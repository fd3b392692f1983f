"""Sums over the ranks of a training, so that a loss of two ranks is that of their joint batch.

A mean over what counts is a sum over a count, and both are summed over all ranks before they
are divided: the mean of ranks' means would weigh a clip by how many stand beside it.
With one process, all of it is the identity.

The gradient of such a sum comes back `world_size()` times too large on each rank, and the harness
divides gradients by that number when it joins them (`training/harness/ranks.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def world_size() -> int:
    """Processes that train together; 1 outside of a group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def summed(value: Tensor) -> Tensor:
    """The sum over all ranks of a tensor of one shape, with its gradient."""
    return value if world_size() == 1 else _Summed.apply(value)


def mean_of(value: Tensor) -> Tensor:
    """The mean over the elements of all ranks' tensors; each rank may have another number."""
    if world_size() == 1:
        return value.mean()
    count = torch.tensor(float(value.numel()), device=value.device)
    return summed(value.sum()) / summed(count).clamp_min(1)


def norm_of(value: Tensor) -> Tensor:
    """The Euclidean norm over all ranks' tensors."""
    # By `sum`, which adds in pairs: `norm` adds one after the other, and of a million squares in
    # float32 the fifth digit is lost.
    return summed(value.square().sum()).sqrt()
