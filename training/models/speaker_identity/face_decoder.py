"""Faces from embeddings, to see what of a face an embedding keeps (Lip2Speech, 5.1, figure 6).

Legend: B batch, H = W pixels. Pictures are float in -1..1, [B, 3, H, W].
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from training.models.speaker_identity.shape import EMBEDDING, IdentityShape

DCGAN_CHANNELS, DCGAN_PX = (512, 256, 128, 64), 64
START_PX, CHANNELS, EXPANSION, DROPOUT, PUBLISHED_PX = 5, (512, 256, 128, 64, 64), 6, 0.3, 160


class Dcgan(nn.Module):
    """[B, 256] -> [B, 3, 64, 64] (Radford et al. 2016, of which 5.1 says it is based on; layers
    inferred: 4 x 4 and four doublings)."""

    size_px = DCGAN_PX

    def __init__(self, shape: IdentityShape) -> None:
        super().__init__()
        inputs, layers = EMBEDDING, list[nn.Module]()
        for i, channels in enumerate(DCGAN_CHANNELS):
            outputs = shape.scaled(channels)
            step = (1, 0) if i == 0 else (2, 1)
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, *step, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(inputs, 3, 4, 2, 1), nn.Tanh())

    def forward(self, embedding: Tensor) -> Tensor:
        return self.layers(embedding[..., None, None])


class InvertedResidual(nn.Module):
    """1 x 1 to six times the channels, 3 x 3 of groups, beside a 1 x 1 of the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        wide = EXPANSION * inputs
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, wide, 1),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, outputs, 3, padding=1, groups=outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )
        self.short = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.short(x)


class Published(nn.Module):
    """[B, 256] -> [B, 3, 160, 160]: the authors' code (speaker_encoder/model.py there)."""

    size_px = PUBLISHED_PX

    def __init__(self, shape: IdentityShape) -> None:
        super().__init__()
        sizes = [shape.scaled(c) for c in CHANNELS]
        self.first = nn.Linear(EMBEDDING, START_PX**2 * sizes[0])
        layers: list[nn.Module] = []
        for a, b in zip(sizes, sizes[1:], strict=False):
            layers += [
                InvertedResidual(a, b),
                nn.UpsamplingBilinear2d(scale_factor=2),
                nn.Conv2d(b, b, 3, padding=1),
            ]
        self.layers = nn.Sequential(nn.Dropout(DROPOUT), *layers, nn.Conv2d(sizes[-1], 3, 1))
        self.start = sizes[0]

    def forward(self, embedding: Tensor) -> Tensor:
        dropped = self.layers[0](self.first(embedding))
        made = self.layers[1:](dropped.unflatten(1, (self.start, START_PX, START_PX)))
        size = (PUBLISHED_PX, PUBLISHED_PX)
        return functional.interpolate(made, size, mode="bilinear", align_corners=True)


def face_decoder_of(shape: IdentityShape) -> Dcgan | Published | None:
    """None where there is to be none."""
    if shape.face_decoder == "none":
        return None
    return Dcgan(shape) if shape.face_decoder == "dcgan" else Published(shape)
