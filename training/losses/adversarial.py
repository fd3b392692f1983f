"""Least-squares adversarial losses over several discriminators (Mao et al. 2017; Jang et al. 2021).

Used where a vocoder is trained against MRSD and MPWD ("w/ dis", Niu and Mak 3.2 and 5.4). Each loss
is the mean over the discriminators (maum-ai/univnet `utils/train.py`).

A score is a tensor of any shape: one number a place that the discriminator looks at.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.losses.across import mean_of


def discriminator_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """(D(y) - 1)^2 + D(yhat)^2; 0 where all are told apart. The made sound comes detached."""
    losses = [
        mean_of((r - 1).square()) + mean_of(m.square()) for r, m in zip(real, made, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_loss(made: Sequence[Tensor]) -> Tensor:
    """(D(yhat) - 1)^2; 0 where all are taken in."""
    return torch.stack([mean_of((m - 1).square()) for m in made]).mean()
