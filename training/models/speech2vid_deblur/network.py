"""Ten convolutions that say what a blurred face lacks (Chung et al. 2017, figure 8; after VDSR)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.speech2vid_deblur.config import DeblurShape


class Deblur(nn.Module):
    """[N, 3, H, W] in 0..1 -> the same, sharper; 298,947 parameters."""

    def __init__(self, shape: DeblurShape) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size = 3
        for _ in range(shape.layers - 1):
            layers += [nn.Conv2d(size, shape.channels, 3, padding=1), nn.ReLU()]
            size = shape.channels
        for layer in layers[::2]:
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        # Begins as the identity (inferred): what is to be learnt is a small difference.
        last = nn.Conv2d(size, 3, 3, padding=1)
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures + self.layers(pictures)


def sharper(network: Deblur, pictures: Tensor) -> Tensor:
    """As the network, brought back to 0..1: what is shown and judged."""
    return torch.clamp(network(pictures), 0, 1)
