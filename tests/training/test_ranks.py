"""Gradients that ranks join, where some have none."""

from __future__ import annotations

import torch
from torch import distributed, nn

from tests.training.ranks import on_ranks
from training.harness.ranks import join_gradients


def _steps_of_adam() -> None:
    """Three parameters: all ranks have a gradient, one has, and in the second step none has."""
    rank = distributed.get_rank()
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    optimizer = torch.optim.Adam(parameters, lr=0.1)
    for step in range(3):
        optimizer.zero_grad(set_to_none=True)
        parameters[0].grad = torch.full((2,), 1.0 + rank)
        if rank == 1:
            parameters[1].grad = torch.full((2,), 4.0)
        if step != 1:
            parameters[2].grad = torch.full((2,), 3.0)
        before = parameters[2].detach().clone()
        join_gradients(parameters)
        assert parameters[0].grad is not None and parameters[0].grad.tolist() == [1.5, 1.5]
        assert parameters[1].grad is not None and parameters[1].grad.tolist() == [2.0, 2.0]
        assert (parameters[2].grad is None) == (step == 1)
        optimizer.step()
        assert torch.equal(parameters[2], before) == (step == 1)
    taken = [int(optimizer.state[p]["step"]) for p in parameters]
    assert taken == [3, 3, 2], taken


def test_a_parameter_without_gradient_on_every_rank_is_not_moved():
    on_ranks(2, _steps_of_adam)
