"""VCA-GAN and Lip2AudSpec by two processes, which take the steps of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.training import test_lip2audspec as lip2audspec
from tests.training import test_vca_gan as vca_gan
from tests.training.mouths import speaking
from tests.training.ranks import on_ranks
from training.harness.run import Request, train

pytestmark = pytest.mark.usefixtures("one_thread")


def _all_of(requests: Sequence[Request]) -> None:
    """Both by one pair of processes, for their start takes longer than the trainings."""
    for request in requests:
        train(request, lambda _: None)


def test_two_ranks_take_the_steps_of_one(tmp_path):
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
    on_ranks(2, _all_of, requests["two"])
    one, two = (vca_gan.losses(tmp_path / where / "gan") for where in ("one", "two"))
    assert len(one) == len(two) == 3
    for name in vca_gan.NAMES:
        found = [[row[name] for row in rows] for rows in (one, two)]
        np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-7, err_msg=name)
    for name, count in (("coder", 4), ("loss", 2)):
        told = [lip2audspec.losses(tmp_path / where / "codes", name) for where in ("one", "two")]
        assert len(told[0]) == count
        np.testing.assert_allclose(*told, rtol=1e-4, err_msg=name)
