"""UnivNet's generator (Jang et al. 2021): noise becomes sound, by kernels made from the mel.

SLTS trains it with the rest (Niu and Mak 3.2, "UnivNet-based"). Which size is not said: 16 channels
are inferred, the smaller published one, which leaves room beside the rest on the paper's card.

| number | source |
| --- | --- |
| strides 8, 5, 4 | inferred: their product is the hop of 160 (published: 8, 8, 4 for 256) |
| noise 64, dilations 1 3 9 27, kernel predictor of 64 channels, slopes .2 | maum-ai/univnet |
| padding of the transposed convolution, weight norm everywhere | maum-ai/univnet |

3,976,690 parameters with 16 channels, 14,840,162 with 32; 3,956,273 and 14,763,809 once the norms
are taken off. The kernels are the large thing in memory: 4 x C x 2 C x 3 numbers a mel column.

Legend: B batch, M mel bands, Z noise channels, C channels, L mel columns, h samples a column at
this block (8, 40, 160), S = h L samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

STRIDES = (8, 5, 4)
DILATIONS = (1, 3, 9, 27)
SLOPE = 0.2
KERNEL = 3
HOP = 160


def _leaky() -> nn.Module:
    return nn.LeakyReLU(SLOPE)


class KernelPredictor(nn.Module):
    """Mel [B, M, L] -> kernels [B, N, C, 2 C, 3, L] and biases [B, N, 2 C, L] of N = 4 layers."""

    def __init__(self, num_mels: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.shape = (len(DILATIONS), channels, 2 * channels, KERNEL)
        num_biases = len(DILATIONS) * 2 * channels
        self.enter = weight_norm(nn.Conv1d(num_mels, hidden, 5, padding=2))
        self.residuals = nn.ModuleList(
            nn.Sequential(
                weight_norm(nn.Conv1d(hidden, hidden, KERNEL, padding=1)),
                _leaky(),
                weight_norm(nn.Conv1d(hidden, hidden, KERNEL, padding=1)),
                _leaky(),
            )
            for _ in range(3)
        )
        num_weights = num_biases * channels * KERNEL
        self.kernels = weight_norm(nn.Conv1d(hidden, num_weights, KERNEL, padding=1))
        self.biases = weight_norm(nn.Conv1d(hidden, num_biases, KERNEL, padding=1))

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.leaky_relu(self.enter(mel), SLOPE)
        for residual in self.residuals:
            x = x + residual(x)
        layers, _, outputs, _ = self.shape
        return (
            self.kernels(x).unflatten(1, self.shape),
            self.biases(x).unflatten(1, (layers, outputs)),
        )


def location_variable_convolution(x: Tensor, kernels: Tensor, biases: Tensor) -> Tensor:
    """[B, C, S] with kernels [B, C, O, 3, L] and biases [B, O, L] -> [B, O, S].

    Each of the L columns has a kernel for its own S / L samples, which reads one sample beyond them
    at either side (Zeng et al. 2021). With one kernel for all columns it is a plain convolution.
    Raises ValueError where S is no multiple of L.
    """
    batch, _, num_samples = x.shape
    columns = kernels.shape[-1]
    if num_samples % columns:
        raise ValueError(f"{num_samples} samples for {columns} mel columns")
    hop, reach = num_samples // columns, KERNEL // 2
    spans = functional.pad(x, (reach, reach)).unfold(2, hop + 2 * reach, hop)
    taps = spans.unfold(3, KERNEL, 1)  # [B, C, L, h, 3]
    out = torch.einsum("bclhk,bcokl->bolh", taps, kernels) + biases[..., None]
    return out.reshape(batch, -1, num_samples)


class LvcBlock(nn.Module):
    """[B, C, S] -> [B, C, s S]: upsampling, then four gated residual layers (Jang, fig. 1)."""

    def __init__(self, num_mels: int, channels: int, hidden: int, stride: int) -> None:
        super().__init__()
        odd = stride % 2
        self.predictor = KernelPredictor(num_mels, channels, hidden)
        self.upsample = weight_norm(
            nn.ConvTranspose1d(
                channels,
                channels,
                2 * stride,
                stride,
                padding=stride // 2 + odd,
                output_padding=odd,
            )
        )
        self.convolutions = nn.ModuleList(
            weight_norm(nn.Conv1d(channels, channels, KERNEL, padding=d, dilation=d))
            for d in DILATIONS
        )

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        x = self.upsample(functional.leaky_relu(x, SLOPE))
        kernels, biases = self.predictor(mel)
        for i, convolve in enumerate(self.convolutions):
            y = functional.leaky_relu(convolve(functional.leaky_relu(x, SLOPE)), SLOPE)
            y = location_variable_convolution(y, kernels[:, i], biases[:, i])
            gate, value = y.chunk(2, 1)
            x = x + gate.sigmoid() * value.tanh()
        return x


class UnivNet(nn.Module):
    """Mel [B, M, L] and noise [B, Z, L] -> sound [B, 160 L] in -1..1 at 16 kHz.

    The noise is the caller's to draw, afresh at each step: chance belongs to the sample's seed.
    """

    def __init__(
        self, channels: int = 16, hidden: int = 64, noise_channels: int = 64, num_mels: int = 80
    ) -> None:
        super().__init__()
        self.noise_channels = noise_channels
        self.enter = weight_norm(
            nn.Conv1d(noise_channels, channels, 7, padding=3, padding_mode="reflect")
        )
        self.blocks = nn.ModuleList(
            LvcBlock(num_mels, channels, hidden, stride) for stride in STRIDES
        )
        self.leave = weight_norm(nn.Conv1d(channels, 1, 7, padding=3, padding_mode="reflect"))

    def forward(self, mel: Tensor, noise: Tensor) -> Tensor:
        x = self.enter(noise)
        for block in self.blocks:
            x = block(x, mel)
        return self.leave(functional.leaky_relu(x, SLOPE)).tanh().squeeze(1)

    @torch.enable_grad()
    def remove_weight_norm(self) -> None:
        """Fold each gain into its weights; once, when training is over.

        Without gradients, torch would make the weights plain tensors that no file keeps.
        """
        for module in list(self.modules()):
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
