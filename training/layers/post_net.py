"""The post-net: from upsampled features to a mel spectrogram.

Niu and Mak 3.2 say "Conv1D-based" and no more. Tacotron 2's shape is inferred (Shen et al. 2018,
2.2: five convolutions of kernel 5 with 512 channels, tanh after all but the last), with batch norm
on all five: 4,511,984 parameters behind conformer S, 4,798,704 behind M. It gives the spectrogram
itself, no residual of one, so there is no dropout behind the last convolution (inferred).

Legend: B batch, D input channels, L columns at 100 Hz, M mel bands.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.layers.sequences import SequenceBatchNorm, zero_outside

LAYERS, KERNEL = 5, 5


class PostNet(nn.Module):
    """[B, D, L] -> [B, M, L]; columns that the mask [B, L] leaves out are zero."""

    def __init__(
        self, inputs: int, hidden: int = 512, num_mels: int = 80, dropout: float = 0.1
    ) -> None:
        super().__init__()
        sizes = [inputs, *[hidden] * (LAYERS - 1), num_mels]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, KERNEL, padding=KERNEL // 2)
            for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.norms = nn.ModuleList(SequenceBatchNorm(size) for size in sizes[1:])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = zero_outside(x, mask)
        for i, (convolve, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(convolve(x), mask)
            if i < LAYERS - 1:
                x = self.dropout(x.tanh())
        return x
