"""What the ranks of a training do together, beyond the sums in its losses (`losses/across.py`)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn

from training.losses.across import world_size


def rank() -> int:
    """This process's number among those that train together."""
    return distributed.get_rank() if world_size() > 1 else 0


def join_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """The mean of all ranks' gradients, in float32, in one message.

    A rank without a gradient for a parameter counts as zero, so ranks whose batches take other
    ways (no segment long enough for the vocoder) wait for nobody.
    """
    if world_size() == 1:
        return
    mine = [p for p in parameters if p.requires_grad]
    told = [torch.zeros_like(p) if p.grad is None else p.grad for p in mine]
    joined = torch.cat([gradient.float().flatten() for gradient in told])
    distributed.all_reduce(joined)
    joined /= world_size()
    for parameter, gradient in zip(mine, joined.split([p.numel() for p in mine]), strict=True):
        parameter.grad = gradient.view_as(parameter).to(parameter.dtype)


def same_everywhere(network: nn.Module) -> None:
    """Weights and buffers of rank 0 on all ranks: statistics of batch norms differ else."""
    if world_size() > 1:
        for tensor in network.state_dict().values():
            distributed.broadcast(tensor, 0)


def all_rows(rows: list[dict]) -> list[dict]:
    """The rows of all ranks, in the order of their positions, where each has a `position`."""
    if world_size() == 1:
        return rows
    gathered: list[list[dict]] = [[] for _ in range(world_size())]
    distributed.all_gather_object(gathered, rows)
    return sorted((row for rows in gathered for row in rows), key=lambda row: row["position"])


def any_rank(flag: bool, device: torch.device | str = "cpu") -> bool:
    """Whether it is so on any rank, told to all."""
    if world_size() == 1:
        return flag
    told = torch.tensor(float(flag), device=device)
    distributed.all_reduce(told)
    return bool(told.item())


def count_everywhere(value: Tensor) -> Tensor:
    """The sum over all ranks of what needs no gradient."""
    if world_size() > 1:
        value = value.clone()
        distributed.all_reduce(value)
    return value
