"""CBHG: Tacotron's bank of convolutions, highways and a GRU both ways (Wang et al. 2017, 3.1).

Sizes are those of its post-processing, which Ephrat et al. (2017, 4.2) take over as it is: bank
of 8, projections 256 and the input's own, highways and GRU of 128 (keithito/tacotron).
Legend: B batch, L columns, M channels in, F channels out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.layers.sequences import widened

BANK, BANK_CHANNELS, PROJECTION, HIGHWAY, NUM_HIGHWAYS = 8, 128, 256, 128, 4
GATE_BIAS = -1.0
"""A highway begins as a way through (Srivastava et al. 2015)."""


class SameConvolution(nn.Module):
    """Convolution, what follows it, batch norm: [B, C, L] -> [B, C', L].

    Even kernels see one column more to the right, as TensorFlow's "same" has it.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, is_linear: bool = False) -> None:
        super().__init__()
        self.edges = ((kernel - 1) // 2, kernel // 2)
        self.convolution = nn.Conv1d(inputs, outputs, kernel)
        self.norm = nn.BatchNorm1d(outputs)
        self.is_linear = is_linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(functional.pad(x, self.edges))
        return self.norm(x if self.is_linear else functional.relu(x))


class Highway(nn.Module):
    """[..., C] -> [..., C]: t relu(W x) + (1 - t) x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change, self.gate = nn.Linear(channels, channels), nn.Linear(channels, channels)
        nn.init.constant_(self.gate.bias, GATE_BIAS)

    def forward(self, x: Tensor) -> Tensor:
        share = torch.sigmoid(self.gate(x))
        return share * functional.relu(self.change(x)) + (1 - share) * x


class Cbhg(nn.Module):
    """[B, L, M] -> [B, L, F]; 1,643,697 parameters of 80 to 321 channels at width 1."""

    def __init__(self, inputs: int, outputs: int, width: float = 1.0) -> None:
        super().__init__()
        bank, middle = widened(BANK_CHANNELS, width), widened(PROJECTION, width)
        inner = widened(HIGHWAY, width)
        self.bank = nn.ModuleList(SameConvolution(inputs, bank, k) for k in range(1, BANK + 1))
        self.first = SameConvolution(BANK * bank, middle, 3)
        self.second = SameConvolution(middle, inputs, 3, is_linear=True)
        self.adapt = nn.Linear(inputs, inner)
        self.highways = nn.Sequential(*(Highway(inner) for _ in range(NUM_HIGHWAYS)))
        self.gru = nn.GRU(inner, inner, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * inner, outputs)

    def forward(self, columns: Tensor) -> Tensor:
        x = columns.transpose(1, 2)
        banked = torch.cat([convolution(x) for convolution in self.bank], 1)
        # "Same" pooling of 2: the pair of a column is the one after it. A column of -inf behind
        # the end is never the larger one.
        pooled = functional.max_pool1d(functional.pad(banked, (0, 1), value=-torch.inf), 2, 1)
        found = self.second(self.first(pooled)) + x
        told, _ = self.gru(self.highways(self.adapt(found.transpose(1, 2))))
        return self.out(told)
