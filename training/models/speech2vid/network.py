"""Speech2Vid's audio encoder, identity encoder and image decoder (Chung et al. 2017, 3.2).

The paper's figure 6 is known by the shapes of the published weights (joonson/yousaidthat, read by
leeeeeeo/yousaidthat-tf). Legend: N pictures, n stills, S skips.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.speech2vid.shape import Speech2VidShape

CEPSTRA, COLUMNS = 12, 35
STILL_PX, MADE_PX = 112, 109
MADE = slice(1, 1 + MADE_PX)
"""Rows and columns of the 112 px picture that are made: its outermost are not."""
EMBEDDING = 256
UNEVEN = (2, 1, 2, 1)
"""Padding left, right, top, bottom: an output one larger than its input."""


class AudioEncoder(nn.Module):
    """[N, 1, 12, 35] -> [N, 256, 1, 1]; 6,928,000 parameters."""

    def __init__(self, shape: Speech2VidShape) -> None:
        super().__init__()
        a, b, c = (shape.scaled(channels) for channels in (64, 128, 256))
        self.layers = nn.Sequential(
            _block(1, a, 3, 1, 1),
            _block(a, b, 3, 1, 1),
            # Halves time alone ("/2t").
            nn.ZeroPad2d((0, 0, 1, 0)),
            nn.MaxPool2d(3, (1, 2)),
            _block(b, c, 3, 1, 1),
            _block(c, c, 3, 1, 1),
            _block(c, c, 3, 1, 1),
            nn.MaxPool2d(3, 2),
            _block(c, shape.scaled(512), (5, 8), 1, 0),
            _block(shape.scaled(512), shape.scaled(EMBEDDING), 1, 1, 0),
        )

    def forward(self, cepstra: Tensor) -> Tensor:
        return self.layers(cepstra)


class IdentityEncoder(nn.Module):
    """[N, 3 n, 112, 112] -> [N, 256, 1, 1] and the skips, VGG-M's layers; 16,102,976 parameters
    with one still."""

    def __init__(self, shape: Speech2VidShape) -> None:
        super().__init__()
        a, b, c = (shape.scaled(channels) for channels in (96, 256, 512))
        self.conv1 = _block(3 * shape.stills, a, 7, 2, 0)
        self.pool1 = nn.MaxPool2d(3, 2)
        self.conv2 = _block(a, b, 5, 2, 1)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.deep = nn.Sequential(
            _block(b, c, 3, 1, 1), _block(c, c, 3, 1, 1), _block(c, c, 3, 1, 1)
        )
        self.dense = nn.Sequential(
            _block(c, c, 6, 1, 0), _block(c, shape.scaled(EMBEDDING), 1, 1, 0)
        )
        self.has_third_skip = shape.has_third_skip

    def forward(self, stills: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        first = self.conv1(stills)
        pooled = self.pool1(first)
        second = self.conv2(pooled)
        told = self.dense(self.deep(self.pool2(second)))
        return told, (second, pooled, first) if self.has_third_skip else (second, pooled)


class ImageDecoder(nn.Module):
    """[N, 512, 1, 1] and skips -> [N, 3, 109, 109] in 0..1; 15,604,131 parameters with two skips,
    16,101,891 with three."""

    def __init__(self, shape: Speech2VidShape) -> None:
        super().__init__()
        a, b, c, d = (shape.scaled(channels) for channels in (96, 128, 256, 512))
        e, f = shape.scaled(64), shape.scaled(32)
        norm = shape.decoder_norm
        self.joined = _plain(2 * shape.scaled(EMBEDDING), b, 1, 0, norm)
        self.small = nn.Sequential(
            _twice(b),
            _plain(b, b, 3, 1, norm),
            _twice(b),
            _plain(b, c, 3, 1, norm),
            _twice(c),
            _plain(c, d, 3, 0, norm),
            _twice(d),
            _plain(d, c, 3, 1, norm),
        )
        self.middle = nn.Sequential(
            _twice(2 * c), _plain(2 * c, c, 3, 1, norm), _plain(c, a, 5, 3, norm)
        )
        self.large = nn.Sequential(
            _twice(2 * a), nn.ZeroPad2d(UNEVEN), _plain(2 * a, a, 3, 0, norm)
        )
        last = 2 * a if shape.has_third_skip else a
        self.whole = nn.Sequential(
            _twice(last),
            nn.ZeroPad2d(UNEVEN),
            _plain(last, e, 3, 0, norm),
            nn.ZeroPad2d(UNEVEN),
            _plain(e, f, 3, 0, norm),
            nn.ZeroPad2d(UNEVEN),
            nn.Conv2d(f, 3, 3),
        )

    def forward(self, joined: Tensor, skips: tuple[Tensor, ...]) -> Tensor:
        second, pooled, *first = skips
        made = self.small(self.joined(joined))
        made = self.middle(torch.cat([second, made], 1))
        made = self.large(torch.cat([pooled, made], 1))
        if first:
            made = torch.cat([first[0], made], 1)
        return torch.sigmoid(self.whole(made))


class Speech2Vid(nn.Module):
    """Sound and stills to pictures; 38,635,107 parameters in the paper's variant."""

    def __init__(self, shape: Speech2VidShape) -> None:
        super().__init__()
        self.audio = AudioEncoder(shape)
        self.identity = IdentityEncoder(shape)
        self.decoder = ImageDecoder(shape)

    def forward(self, cepstra: Tensor, stills: Tensor) -> Tensor:
        """Cepstra [N, 12, 35] and stills [N, 3 n, 112, 112] -> [N, 3, 109, 109] in 0..1."""
        return self.says(cepstra, *self.identity(stills))

    def says(self, cepstra: Tensor, person: Tensor, skips: tuple[Tensor, ...]) -> Tensor:
        """As `forward`, of what the identity encoder told once of one face: [1, 256, 1, 1] and
        skips [1, ...] (3.2: it need not run for every frame)."""
        heard = self.audio(cepstra[:, None])
        size = len(heard)
        joined = torch.cat([heard, person.expand(size, -1, -1, -1)], 1)
        return self.decoder(joined, tuple(skip.expand(size, -1, -1, -1) for skip in skips))


def _block(
    inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int, padding: int
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _plain(inputs: int, outputs: int, kernel: int, padding: int, norm: bool) -> nn.Sequential:
    """The decoder's: convolution and ReLU, with a batch norm between them if asked for."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, padding=padding)]
    if norm:
        layers.append(nn.BatchNorm2d(outputs))
    for_relu = layers[0].weight
    assert isinstance(for_relu, Tensor)
    nn.init.kaiming_normal_(for_relu, nonlinearity="relu")
    return nn.Sequential(*layers, nn.ReLU())


def _twice(channels: int) -> nn.ConvTranspose2d:
    """A transposed convolution that begins as bilinear doubling of each channel (inferred)."""
    layer = nn.ConvTranspose2d(channels, channels, 4, 2, 1)
    side = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[torch.arange(channels), torch.arange(channels)] = torch.outer(side, side)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # it has one
    return layer


def as_channels(stills: Tensor) -> Tensor:
    """uint8 [N, n, 112, 112, 3] -> float32 [N, 3 n, 112, 112] about 0: n = 5 are channels (4.2).

    The demo gives 0..255; batch norm follows at once, so the scale is free (inferred)."""
    return (stills.float() / 255 - 0.5).movedim(-1, 2).flatten(1, 2)


def truth_of(pictures: Tensor) -> Tensor:
    """uint8 [N, 112, 112, 3] -> what is to be made, float32 [N, 3, 109, 109] in 0..1."""
    return pictures[:, MADE, MADE].float().movedim(-1, 1) / 255
