"""Front ends: what a model sees of each picture.

`FrameEncoder` is SLTS's: ResNet-18 on each frame by itself (Niu and Mak 3.2; He et al. 2016, table
1). Nothing in it spans time: the offset predictors compare *local* features, and a front end that
looks ahead could hide a lag in them. Names of the layers are torchvision's, so that its files load.

Legend: B batch, T frames, H = W pixels, C picture channels (3 RGB or 1 grey), D = 512 width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from training.layers.sequences import widened

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in 0..1: torchvision's; inferred, the paper says nothing of the pictures' scale."""
STAGES = (64, 128, 256, 512)
"""Channels of the four stages (He et al. 2016, table 1)."""


def normalise(pictures: Tensor) -> Tensor:
    """uint8 [B, T, H, W, 3] (RGB) or [B, T, H, W] (grey) -> float32 [B, T, C, H, W].

    Grey pictures take the mean of ImageNet's three means and deviations. It is done on the device,
    because bytes travel there at a quarter of the size.
    """
    if pictures.dim() == 4:
        pictures = pictures[..., None]
    is_grey = pictures.shape[-1] == 1
    scale = pictures.new_tensor([IMAGENET_MEAN, IMAGENET_DEVIATION], dtype=torch.float32) * 255
    mean, deviation = scale.mean(1, keepdim=True) if is_grey else scale
    return ((pictures.float() - mean) / deviation).movedim(-1, 2)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a way around them (He et al. 2016, fig. 5, left)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)) + around)


class ResNet18(nn.Module):
    """[N, C, H, W] -> [N, D]: convolution 7x7 / 2, pool 3 / 2, four stages of two, global mean.

    96 px: 48, 24, then 24, 12, 6, 3. 11,176,512 parameters at width 1 with three channels.
    """

    def __init__(self, width: float = 1.0, picture_channels: int = 3) -> None:
        super().__init__()
        sizes = [widened(channels, width) for channels in STAGES]
        self.conv1 = nn.Conv2d(picture_channels, sizes[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(sizes[0])
        inputs = sizes[0]
        for i, outputs in enumerate(sizes):
            blocks = (BasicBlock(inputs, outputs, 2 if i else 1), BasicBlock(outputs, outputs, 1))
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.num_features = inputs

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for i in range(len(STAGES)):
            x = getattr(self, f"layer{i + 1}")(x)
        return x.mean((2, 3))


class FrameEncoder(nn.Module):
    """Normalised pictures [B, T, C, H, W] -> features [B, D, T] (Niu and Mak 3.2).

    `recompute` keeps no activation for the way back but makes them again (4.4: "gradient
    checkpointing on the frame encoder"), the same numbers for a third more time.
    """

    def __init__(
        self, width: float = 1.0, picture_channels: int = 3, recompute: bool = False
    ) -> None:
        super().__init__()
        self.resnet = ResNet18(width, picture_channels)
        self.recompute = recompute
        self.num_features = self.resnet.num_features

    def forward(self, pictures: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frames that the mask [B, T] leaves out are never seen: batch norm counts real ones."""
        batch, length = pictures.shape[:2]
        chosen = pictures.flatten(0, 1) if mask is None else pictures[mask]
        found = self._features(chosen)
        if mask is None:
            features = found.unflatten(0, (batch, length))
        else:
            features = found.new_zeros(batch, length, self.num_features)
            features[mask] = found
        return features.transpose(1, 2)

    def _features(self, pictures: Tensor) -> Tensor:
        if not (self.recompute and self.training and torch.is_grad_enabled()):
            return self.resnet(pictures)
        return checkpoint(
            self.resnet, pictures, use_reentrant=False, context_fn=self._once_and_again
        )

    def _once_and_again(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), still_statistics(self.resnet)


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norms normalise by the batch but leave their running statistics as they are.

    Made again on the way back, a batch would be counted twice.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
