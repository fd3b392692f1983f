"""The video feature extractor (Lip2Speech, 3.4): a 3D convolution, then ShuffleNet V2 a frame.

Legend: B batch, N frames, H = W pixels, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.layers.shuffle_net import ShuffleNet
from training.models.lip2speech.shape import (
    FRONT_CHANNELS,
    STAGE_CHANNELS,
    VIDEO_FEATURES,
    Lip2SpeechShape,
)

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of pictures in 0..1; the authors' code."""


class VideoExtractor(nn.Module):
    """uint8 or float [B, N, H, W, 3] in 0..255, mask bool [B, N] -> [B, N, D] of length 1.

    Frames that the mask leaves out are zero, as is what lies before the first and after the last.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: Lip2SpeechShape) -> None:
        super().__init__()
        channels = shape.scaled(FRONT_CHANNELS)
        self.front = nn.Sequential(
            nn.Conv3d(3, channels, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(channels),
            nn.PReLU(channels),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        stages = tuple(shape.scaled(c) for c in STAGE_CHANNELS)
        self.shuffle_net = ShuffleNet(channels, stages, shape.scaled(VIDEO_FEATURES))
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION), persistent=False)
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.Conv3d)):
                fan = math.prod(part.kernel_size) * part.out_channels
                nn.init.normal_(part.weight, std=math.sqrt(2 / fan))

    def forward(self, lips: Tensor, mask: Tensor | None = None) -> Tensor:
        x = (lips.float() / 255 - self.mean) / self.deviation
        if mask is not None:
            x = x.masked_fill(~mask[:, :, None, None, None], 0.0)
        seen = self.front(x.permute(0, 4, 1, 2, 3)).transpose(1, 2)
        features = self.shuffle_net(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
        return functional.normalize(features, dim=2)
