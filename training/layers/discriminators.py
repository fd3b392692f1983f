"""MRSD and MPWD, the discriminators of UnivNet (Jang et al. 2021, 2.3; Niu and Mak 3.2, "w/ dis").

Numbers are maum-ai/univnet's: three resolutions of 93,634 parameters each, 280,902 in all; five
periods, 17,444,810 in all; weight norm everywhere, slopes .2. They are optional: the paper's
listeners preferred them (5.4) and the objective scores did not.

Legend: B batch, S samples, F bins, W windows, P period.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from training.layers.sequences import widened
from training.losses.stft import RESOLUTIONS, magnitude

PERIODS = (2, 3, 5, 7, 11)
SLOPE = 0.2


def _run(layers: nn.ModuleList, x: Tensor) -> Tensor:
    """Convolutions with leaky ReLUs between; the last one's output, flat, [B, places]."""
    for layer in layers[:-1]:
        x = functional.leaky_relu(layer(x), SLOPE)
    return layers[-1](x).flatten(1)


class ResolutionDiscriminator(nn.Module):
    """Sound [B, S] -> scores [B, places], from its magnitudes [B, 1, F, W] at one resolution."""

    def __init__(self, resolution: tuple[int, int, int], width: float = 1.0) -> None:
        super().__init__()
        self.resolution = resolution
        size = widened(32, width)
        wide = [(1, 1), *[(size, 2)] * 3]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(inputs, size, (3, 9), (1, stride), (1, 4)))
            for inputs, stride in wide
        )
        self.layers.append(weight_norm(nn.Conv2d(size, size, 3, padding=1)))
        self.layers.append(weight_norm(nn.Conv2d(size, 1, 3, padding=1)))

    def forward(self, sound: Tensor) -> Tensor:
        num_fft, hop, _ = self.resolution
        overhang = (num_fft - hop) // 2
        padded = functional.pad(sound[:, None], (overhang, overhang), "reflect").squeeze(1)
        return _run(self.layers, magnitude(padded, *self.resolution, centred=False)[:, None])


class PeriodDiscriminator(nn.Module):
    """Sound [B, S] -> scores [B, places], every P-th sample in one column: [B, 1, S / P, P]."""

    def __init__(self, period: int, width: float = 1.0) -> None:
        super().__init__()
        self.period = period
        sizes = [1, *(widened(c, width) for c in (64, 128, 256, 512, 1024))]
        pairs = list(zip(sizes, sizes[1:], strict=False))
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0))) for a, b in pairs[:-1]
        )
        self.layers.append(weight_norm(nn.Conv2d(*pairs[-1], (5, 1), 1, (2, 0))))
        self.layers.append(weight_norm(nn.Conv2d(sizes[-1], 1, (3, 1), 1, (1, 0))))

    def forward(self, sound: Tensor) -> Tensor:
        missing = -sound.shape[1] % self.period
        padded = functional.pad(sound[:, None], (0, missing), "reflect")
        return _run(self.layers, padded.unflatten(2, (-1, self.period)))


class Discriminators(nn.Module):
    """Sound [B, S] -> the scores of all eight, MRSD's first."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.mrsd = nn.ModuleList(ResolutionDiscriminator(r, width) for r in RESOLUTIONS)
        self.mpwd = nn.ModuleList(PeriodDiscriminator(p, width) for p in PERIODS)

    def forward(self, sound: Tensor) -> list[Tensor]:
        return [judge(sound) for judge in (*self.mrsd, *self.mpwd)]
