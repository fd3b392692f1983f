"""From level pictures to the clips that a network sees, each in its central frame's pose.

The other half of `training/data/by_eyes.py`, on the device. Legend: T frames, N clips, K frames a
clip, H x W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def clips_of(
    level: Tensor, flow: Tensor | None, back: Tensor, centres: Tensor, context: int
) -> tuple[Tensor, Tensor | None]:
    """Pictures float [N, K, H, W] and flow [N, 2 (K - 1), H, W] (u0, v0, u1, ...) of the clips of
    `context` = K frames around `centres` int [N].

    `level` [T, H, W], `flow` [T, H, W, 2] from each frame to the next, `back` [T, 2, 3]. Beyond the
    ends the outermost frame is repeated, without motion.
    """
    margin = context // 2
    frames = centres[:, None] + torch.arange(-margin, margin + 1, device=centres.device)
    held = frames.clamp(0, len(level) - 1)
    ways = back[centres]
    pictures = _warped(level[held].float(), ways)
    if flow is None:
        return pictures, None
    fields = flow[held[:, :-1]].float()
    moves = (held[:, 1:] > held[:, :-1])[..., None, None, None]
    turned = torch.einsum("nij,nkhwj->nkihw", ways[:, :, :2], fields * moves)
    return pictures, _warped(turned.flatten(1, 2), ways)


def _warped(pictures: Tensor, ways: Tensor) -> Tensor:
    """[N, C, H, W] by [N, 2, 3] from old to new pixels; bilinear, borders repeated."""
    still = torch.eye(2, 3, device=ways.device).expand_as(ways)
    if torch.equal(ways, still):
        return pictures
    height, width = pictures.shape[2:]
    linear = torch.linalg.inv(ways[:, :, :2].double())
    shift = -linear @ ways[:, :, 2:].double()
    # `affine_grid` counts from -1 to 1 across the pixels' centres.
    size = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=ways.device).double()
    shift = (linear @ size[:, None] + shift - size[:, None]) / size[:, None]
    theta = torch.cat([linear * size / size[:, None], shift], 2).float()
    grid = functional.affine_grid(theta, list(pictures.shape), align_corners=True)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=True)
