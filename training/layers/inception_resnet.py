"""Inception-ResNet v1 (Szegedy et al. 2016) as facenet-pytorch has it: a face to 512 numbers.

Names of the parts are those of its weight files, so that these are read as they are. Published
files hold a classifier `logits` too, which is left out.

Legend: B batch, H = W pixels of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.layers.sequences import widened

EPSILON, DROPOUT, FEATURES, LEAST_PX = 1e-3, 0.6, 512, 75
STEM = (
    ("conv2d_1a", 32, 3, 2, 0),
    ("conv2d_2a", 32, 3, 1, 0),
    ("conv2d_2b", 64, 3, 1, 1),
    ("maxpool_3a", 0, 3, 2, 0),
    ("conv2d_3b", 80, 1, 1, 0),
    ("conv2d_4a", 192, 3, 1, 0),
    ("conv2d_4b", 256, 3, 2, 0),
)
"""Name, channels, kernel, stride, padding."""
BLOCK_35 = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (32, 3), (32, 3)))
BLOCK_17 = (((128, 1),), ((128, 1), (128, (1, 7)), (128, (7, 1))))
BLOCK_8 = (((192, 1),), ((192, 1), (192, (1, 3)), (192, (3, 1))))
"""Branches of (channels, kernel)."""
REDUCE_A = (((384, 3, 2),), ((192, 1), (192, 3), (256, 3, 2)))
REDUCE_B = (((256, 1), (384, 3, 2)), ((256, 1), (256, 3, 2)), ((256, 1), (256, 3), (256, 3, 2)))
"""The same, with the stride of the last; a pool stands beside them."""
STAGES = ("stem", "block_35", "block_17", "block_8", "head")
"""The five blocks of which Lip2Speech (section 3.3) freezes three: which they are is inferred, a
reduction being counted to the blocks behind it."""
_OF_STAGE = {
    "repeat_1": "block_35",
    "mixed_6a": "block_17",
    "repeat_2": "block_17",
    "mixed_7a": "block_8",
    "repeat_3": "block_8",
    "block8": "block_8",
    "last_linear": "head",
    "last_bn": "head",
}


class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Any, stride: int = 1, padding: Any = 0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


def _branch(inputs: int, steps: Sequence[Any], width: float) -> tuple[nn.Module, int]:
    """Its units one after the other, and its channels. One alone stands by itself."""
    units: list[nn.Module] = []
    for channels, kernel, *more in steps:
        outputs, stride = widened(channels, width), more[0] if more else 1
        same = tuple(k // 2 for k in kernel) if isinstance(kernel, tuple) else kernel // 2
        units.append(Unit(inputs, outputs, kernel, stride, 0 if more else same))
        inputs = outputs
    return (units[0] if len(units) == 1 else nn.Sequential(*units)), inputs


class Residual(nn.Module):
    """x + scale * (branches side by side, brought back to x's channels)."""

    def __init__(
        self, channels: int, branches: Any, scale: float, width: float, is_last: bool = False
    ) -> None:
        super().__init__()
        total = 0
        for i, steps in enumerate(branches):
            branch, outputs = _branch(channels, steps, width)
            self.add_module(f"branch{i}", branch)
            total += outputs
        self.conv2d = nn.Conv2d(total, channels, 1)
        self.num_branches, self.scale, self.is_last = len(branches), scale, is_last

    def forward(self, x: Tensor) -> Tensor:
        beside = [self.get_submodule(f"branch{i}")(x) for i in range(self.num_branches)]
        made = x + self.scale * self.conv2d(torch.cat(beside, 1))
        return made if self.is_last else made.relu()


class Reduction(nn.Module):
    """Branches of stride 2 and a pool, side by side; `outputs` channels."""

    def __init__(self, channels: int, branches: Any, width: float) -> None:
        super().__init__()
        self.outputs = channels
        for i, steps in enumerate(branches):
            branch, outputs = _branch(channels, steps, width)
            self.add_module(f"branch{i}", branch)
            self.outputs += outputs
        self.num_branches, self.pool = len(branches), nn.MaxPool2d(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        beside = [self.get_submodule(f"branch{i}")(x) for i in range(self.num_branches)]
        return torch.cat([*beside, self.pool(x)], 1)


class InceptionResnet(nn.Module):
    """float [B, 3, H, W], (x - 127.5) / 128, H and W of 75 or more -> [B, 512 width]."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = 3
        for name, outputs, kernel, stride, padding in STEM:
            if not outputs:
                self.add_module(name, nn.MaxPool2d(kernel, stride))
                continue
            outputs = widened(outputs, width)
            self.add_module(name, Unit(channels, outputs, kernel, stride, padding))
            channels = outputs
        self.repeat_1 = nn.Sequential(
            *(Residual(channels, BLOCK_35, 0.17, width) for _ in range(5))
        )
        self.mixed_6a = Reduction(channels, REDUCE_A, width)
        channels = self.mixed_6a.outputs
        self.repeat_2 = nn.Sequential(
            *(Residual(channels, BLOCK_17, 0.10, width) for _ in range(10))
        )
        self.mixed_7a = Reduction(channels, REDUCE_B, width)
        channels = self.mixed_7a.outputs
        self.repeat_3 = nn.Sequential(*(Residual(channels, BLOCK_8, 0.20, width) for _ in range(5)))
        self.block8 = Residual(channels, BLOCK_8, 1.0, width, is_last=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.last_linear = nn.Linear(channels, widened(FEATURES, width), bias=False)
        self.last_bn = nn.BatchNorm1d(widened(FEATURES, width), eps=EPSILON)

    def stages(self) -> dict[str, list[nn.Module]]:
        """The parts of each of the five blocks, in their order."""
        found: dict[str, list[nn.Module]] = {name: [] for name in STAGES}
        for name, part in self.named_children():
            if name != "dropout":
                found[_OF_STAGE.get(name, "stem")].append(part)
        return found

    def forward(self, x: Tensor) -> Tensor:
        for name, part in self.named_children():
            if name == "dropout":
                x = x.mean((2, 3))
            x = part(x)
        return x

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Tensors of facenet-pytorch's files. Raises ValueError where they do not fit."""
        own = {name: value for name, value in state.items() if not name.startswith("logits.")}
        try:
            self.load_state_dict(own)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[-1].strip()) from None
