"""Two processes that train together: gradients that some have not, VCA-GAN, Lip2AudSpec.

All by one pair, for the start of processes takes longer than the trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import distributed, nn

from tests.training import test_lip2audspec as lip2audspec
from tests.training import test_vca_gan as vca_gan
from tests.training.mouths import speaking
from tests.training.ranks import on_ranks
from training.harness.ranks import join_gradients
from training.harness.run import Request, train

pytestmark = pytest.mark.usefixtures("one_thread")


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


def _on_each_rank(requests: Sequence[Request]) -> None:
    _steps_of_adam()
    _all_of(requests)


def _all_of(requests: Sequence[Request]) -> None:
    for request in requests:
        train(request, lambda _: None)


def test_two_ranks_take_the_steps_of_one_and_leave_alone_what_has_no_gradient(tmp_path):
    corpus = speaking(tmp_path / "mouths", num_clips=8, num_frames=24)
    gan = vca_gan.config(steps=3, freeze_batch_norm=True, learning_rate=1e-5)
    gan = replace(gan, shape=replace(gan.shape, dropout=0.0))
    codes = lip2audspec.config(steps=6, freeze_batch_norm=True, learning_rate=1e-5)
    codes = replace(codes, shape=replace(codes.shape, dropout=0.0, noise=0.0))
    requests = {
        where: [
            vca_gan.request(corpus, tmp_path / where / "gan", gan),
            lip2audspec.request(corpus, tmp_path / where / "codes", codes),
        ]
        for where in ("one", "two")
    }
    _all_of(requests["one"])
    on_ranks(2, _on_each_rank, requests["two"])
    one, two = (vca_gan.losses(tmp_path / where / "gan") for where in ("one", "two"))
    assert len(one) == len(two) == 3
    for name in vca_gan.NAMES:
        found = [[row[name] for row in rows] for rows in (one, two)]
        np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-7, err_msg=name)
    for name, count in (("coder", 4), ("loss", 2)):
        told = [lip2audspec.losses(tmp_path / where / "codes", name) for where in ("one", "two")]
        assert len(told[0]) == count
        np.testing.assert_allclose(*told, rtol=1e-4, err_msg=name)
