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
    ways (no segment long enough for the vocoder) wait for nobody. Where no rank has one there is
    none afterwards: of zeros Adam would count a step and move by what it remembers, as one process
    does not.
    """
    if world_size() == 1:
        return
    mine = [p for p in parameters if p.requires_grad]
    if not mine:
        return
    told = [torch.zeros_like(p) if p.grad is None else p.grad for p in mine]
    has_one = mine[0].new_tensor([p.grad is not None for p in mine], dtype=torch.float32)
    joined = torch.cat([*(gradient.float().flatten() for gradient in told), has_one])
    distributed.all_reduce(joined)
    *sums, ranks_with_one = joined.split([*(p.numel() for p in mine), len(mine)])
    for parameter, total, count in zip(mine, sums, ranks_with_one.tolist(), strict=True):
        mean = (total / world_size()).view_as(parameter).to(parameter.dtype)
        parameter.grad = mean if count else None


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
