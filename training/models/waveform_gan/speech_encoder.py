"""The speech encoder phi of the perceptual loss (Vougioukas et al. 2019, 2.3).

The network is that of the group's speech-driven facial animation: a window of sound around each
frame, strided convolutions down to a code, a GRU over the frames. Its sizes stand in the published
file; ours has the same layers for the rate at hand and is trained here, with a small network that
draws the mouth from what it hears (`MouthDrawer`), on training speakers alone.

phi(x) is what the GRU gives (inferred: "encodings that capture speech content").

Legend: B batch, T frames (25 Hz), N samples of a frame, S = T N samples, W samples of a window,
D features, h, w pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.layers.sequences import widened

FIRST_KERNEL_S, FIRST_STRIDE_S = 0.005, 0.001
FIRST_CHANNELS = 16
FRAMES_PER_S = 25
MOUTH_PX = (32, 48)
STILL_FEATURES = 64


@dataclass(frozen=True)
class SpeechSizes:
    """What a speech encoder is built of."""

    rate: int
    """Samples a second."""
    window: int
    """Samples around a frame."""
    code: int
    """Features of a window."""
    features: int
    """Features of the GRU."""
    first_channels: int = FIRST_CHANNELS

    @staticmethod
    def ours(rate: int, width: float = 1.0) -> SpeechSizes:
        """.2 s and 256 features, the published ones, at a rate and a width of our own."""
        size = widened(256, width)
        return SpeechSizes(rate, rate // 5, size, size, widened(FIRST_CHANNELS, width))


class SpeechEncoder(nn.Module):
    """Sound [B, S] in +-1 at `sizes.rate` -> phi [B, T, D]."""

    def __init__(self, sizes: SpeechSizes) -> None:
        super().__init__()
        self.sizes = sizes
        first = (round(FIRST_KERNEL_S * sizes.rate), round(FIRST_STRIDE_S * sizes.rate))
        *later, _ = prime_factors(-(-sizes.window // first[1]))
        left, before, channels = sizes.window, 1, sizes.first_channels
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for kernel, stride in (first, *((2 * s, s) for s in later)):
            pad = -(-((-(-left // stride) - 1) * stride + kernel - left) // 2)
            self.convolutions.append(nn.Conv1d(before, channels, kernel, stride, pad))
            self.norms.append(nn.BatchNorm1d(channels))
            left = (left + 2 * pad - kernel) // stride + 1
            before, channels = channels, 2 * channels
        self.convolutions.append(nn.Conv1d(before, sizes.code, left))
        self.memory = nn.GRU(sizes.code, sizes.features, 2, batch_first=True)

    def forward(self, sound: Tensor) -> Tensor:
        step, window = self.sizes.rate // FRAMES_PER_S, self.sizes.window
        more = window - step
        # A window's middle is its frame's middle; beyond the ends is silence (published code).
        padded = functional.pad(sound, (more // 2, more - more // 2))
        frames = padded.unfold(1, window, step)
        x = frames.reshape(-1, 1, window)
        for convolution, norm in zip(self.convolutions, self.norms, strict=False):
            x = norm(convolution(x)).relu()
        code = self.convolutions[-1](x).tanh().reshape(len(sound), -1, self.sizes.code)
        return self.memory(code)[0]

    def hold_statistics(self) -> None:
        """Batch norms as they were trained. The GRU stays in training mode, where it is the same:
        through one in evaluation mode cuDNN takes no gradient."""
        self.train()
        for norm in self.norms:
            norm.eval()


class MouthDrawer(nn.Module):
    """What is heard phi [B, T, D] and a still [B, h, w] -> pictures [B, T, h, w] in +-1.

    The still tells whose mouth and where; the sound alone, what it does. Sizes are ours: it is
    thrown away once the encoder is trained.
    """

    def __init__(self, features: int, width: float = 1.0) -> None:
        super().__init__()
        channels = [widened(c, width) for c in (128, 64, 32, 16)]
        self.channels, still = channels[0], widened(STILL_FEATURES, width)
        seen: list[nn.Module] = []
        before = 1
        for size in reversed(channels):
            seen += [nn.Conv2d(before, size, 4, 2, 1), nn.ReLU()]
            before = size
        self.look = nn.Sequential(*seen, nn.Flatten(), nn.Linear(before * 6, still))
        self.enter = nn.Linear(features + still, channels[0] * 6)
        drawn: list[nn.Module] = []
        for one, other in zip(channels, channels[1:], strict=False):
            drawn += [nn.ConvTranspose2d(one, other, 4, 2, 1), nn.ReLU()]
        self.draw = nn.Sequential(*drawn, nn.ConvTranspose2d(channels[-1], 1, 4, 2, 1), nn.Tanh())

    def forward(self, heard: Tensor, still: Tensor) -> Tensor:
        batch, frames = heard.shape[:2]
        who = self.look(still[:, None])[:, None].expand(-1, frames, -1)
        x = self.enter(torch.cat([heard, who], 2)).reshape(batch * frames, self.channels, 2, 3)
        return self.draw(x.relu()).reshape(batch, frames, *MOUTH_PX)


class Hearing(nn.Module):
    """Encoder and drawer, trained as one: the L1 distance of drawn and true mouths."""

    def __init__(self, sizes: SpeechSizes, width: float = 1.0) -> None:
        super().__init__()
        self.encoder = SpeechEncoder(sizes)
        self.drawer = MouthDrawer(sizes.features, width)

    def forward(self, sound: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Sound [B, S], pictures [B, T, H, W, 3] in 0..255 -> drawn and true mouths [B, T, h, w]
        in +-1; the still is the first picture."""
        wanted = mouths_of(pictures)
        return self.drawer(self.encoder(sound), wanted[:, 0]), wanted


def mouths_of(pictures: Tensor) -> Tensor:
    """[B, T, H, W, 3] in 0..255 -> grey float32 [B, T, 32, 48] in +-1."""
    grey = functional.adaptive_avg_pool2d(pictures.float().mean(4), MOUTH_PX)
    return grey / 127.5 - 1


def prime_factors(number: int) -> list[int]:
    """Ascending. Raises ValueError below 2."""
    if number < 2:
        raise ValueError(f"{number} has no prime factors")
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found


def resampled(sound: Tensor, rate: int, wanted: int) -> Tensor:
    """[B, S] at `rate` -> [B, S wanted / rate], by its spectrum, so that gradients pass. A clip is
    taken to go round, which is heard in the first and last few samples alone."""
    if rate == wanted:
        return sound
    size = sound.shape[1]
    length = size * wanted // rate
    spectrum = torch.fft.rfft(sound.float())
    bins = length // 2 + 1
    spectrum = spectrum[:, :bins]
    spectrum = functional.pad(spectrum, (0, bins - spectrum.shape[1]))
    return torch.fft.irfft(spectrum, length) * (length / size)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published file's names of parameters -> ours."""
    made = {}
    for name, value in state.items():
        for theirs, ours in (("encoder.cl.", "convolutions."), ("rnn.", "memory.")):
            if name.startswith(theirs):
                made[ours + name.removeprefix(theirs)] = value
        if name.startswith("encoder.activations."):
            number, _, rest = name.removeprefix("encoder.activations.").partition(".0.")
            made[f"norms.{number}.{rest}"] = value
    return made
