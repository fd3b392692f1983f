"""What SyncNet minimises, what that is at chance, and how lags are read from its vectors.

Losses are terms; their mean is taken over all ranks (`losses/across.py`), so that two ranks have
the loss of their joint batch, and over a judged clip alone.
Legend: B clips, T time steps (windows of 5 frames, one a frame), D numbers of a vector.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class LossScale(nn.Module):
    """w and b of the logits w cos + b (joonson/syncnet_trainer, SyncNetDist.py).

    b is the same for all logits of a step and thus without a gradient: the trainer has it too.
    """

    def __init__(self, scale: float, bias: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))


def cosines(seen: Tensor, heard: Tensor) -> Tensor:
    """Of each picture with each sound of its clip: [B, T, D] and [B, U, D] -> [B, T, U]."""
    return functional.normalize(seen, dim=2) @ functional.normalize(heard, dim=2).transpose(1, 2)


def distances(seen: Tensor, heard: Tensor) -> Tensor:
    """Euclidean ones, [B, T, D] and [B, U, D] -> [B, T, U], 1e-6 within as released."""
    return (seen[:, :, None] - heard[:, None] + 1e-6).norm(dim=3)


def multiway(logits: Tensor) -> Tensor:
    """Cross entropies [B, T] of [B, T, T]: which of a clip's T sounds is that of picture t?"""
    return -functional.log_softmax(logits, 2).diagonal(dim1=1, dim2=2)


def multiway_chance(num_steps: int) -> float:
    """Of a network for which all sounds are alike."""
    return math.log(num_steps)


def contrastive(distance: Tensor, draws: Tensor, margin: float, near_frames: int) -> Tensor:
    """Terms [B, T] of Chung and Zisserman 2016: E = 1/2N sum y d^2 + (1 - y) max(margin - d, 0)^2.

    A true pair and a false one a picture, so N is twice the terms: the false one is the sound of
    the same clip whose draw [B, T, T] is the highest, none within `near_frames` of the true one.
    Raises ValueError if no other is left.
    """
    num_steps = distance.shape[1]
    at = torch.arange(num_steps, device=distance.device)
    near = (at[:, None] - at).abs() <= near_frames
    if bool(near.all(1).any()):
        raise ValueError(
            f"{num_steps} time steps leave no sound that is more than {near_frames} frames away; "
            "give a longer view.num_frames or a smaller loss.near_frames"
        )
    other = draws.masked_fill(near, -torch.inf).argmax(2, keepdim=True)
    true = distance.diagonal(dim1=1, dim2=2)
    false = distance.gather(2, other)[..., 0]
    return (true.square() + (margin - false).clamp_min(0).square()) / 4


def contrastive_chance(margin: float) -> float:
    """The least for a network whose distances are all alike: half the margin for each."""
    return margin**2 / 8


def top1(similarity: Tensor) -> Tensor:
    """Share of the pictures of [B, T, T] that choose their own sound, [B]."""
    own = torch.arange(similarity.shape[1], device=similarity.device)
    return (similarity.argmax(2) == own).float().mean(1)


def lag_frames(similarity: Tensor, searched_frames: int) -> int:
    """By how many frames the picture is late, of [T, T]: > 0 where picture t is like sound t - lag.

    The mean over the pairs that there are decides; lags that leave no pair are not looked for.
    """
    reach = min(searched_frames, similarity.shape[0] - 1)
    lags = range(-reach, reach + 1)
    means = torch.stack([similarity.diagonal(-lag).mean() for lag in lags])
    return lags[int(means.argmax())]
