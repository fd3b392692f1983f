"""Generator and critic of the waveform GAN (Vougioukas et al. 2019, 2.1 and 2.2).

    pictures -> windows of 7 frames -> 3D convolutions -> z_s -> GRU -> z_c -> a frame of samples

The windows of a clip overlap, so they are not cut out: a convolution over time with the window's
length gives the same numbers, and the later layers look at one moment only.

Legend: B batch, T frames (25 Hz), H, W = 1.5 H pixels, D features, N samples of a frame, S samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.waveform_gan.shape import (
    CRITIC_CHANNELS,
    CRITIC_KERNEL,
    CRITIC_STEPS,
    DECODER_CHANNELS,
    DECODER_STEPS,
    ENCODER_CHANNELS,
    FEATURES,
    WINDOW_FRAMES,
    GanShape,
)

HALVED = 2 ** len(ENCODER_CHANNELS)
SLOPE = 0.2
SIDE = WINDOW_FRAMES // 2
"""Frames that a window sees on either side of its own."""


class VisualEncoder(nn.Module):
    """Pictures float [B, 3, T, H, W] in +-1 -> z_s [B, D, T]. Five convolutions without bias
    (inferred, from the group's image encoder); the last one ends in tanh, without batch norm."""

    def __init__(self, shape: GanShape) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for number, channels in enumerate(map(shape.scaled, ENCODER_CHANNELS)):
            depth = 1 if number else WINDOW_FRAMES
            layers += [
                nn.Conv3d(before, channels, (depth, 4, 4), (1, 2, 2), (0, 1, 1), bias=False),
                nn.BatchNorm3d(channels),
                nn.ReLU(),
            ]
            before = channels
        left = (1, shape.picture_px // HALVED, 3 * shape.picture_px // (2 * HALVED))
        layers += [nn.Conv3d(before, shape.scaled(FEATURES), left, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        # The first and last frame are repeated (inferred), so that T frames give T outputs.
        return self.inside(functional.pad(pictures, (0, 0, 0, 0, SIDE, SIDE), "replicate"))

    def inside(self, pictures: Tensor) -> Tensor:
        """z_s [B, D, T] of the windows that lie in [B, 3, T + 6, H, W]."""
        return self.layers(pictures).flatten(2)


class FrameDecoder(nn.Module):
    """z_c [B, D, T] -> sound [B, T N] in +-1: each frame's samples by themselves, end to end."""

    def __init__(self, shape: GanShape) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = shape.scaled(FEATURES)
        *inner, (kernel, stride, pad, more) = DECODER_STEPS[shape.sample_rate]
        for channels, step in zip(map(shape.scaled, DECODER_CHANNELS), inner, strict=True):
            layers += [
                nn.ConvTranspose1d(before, channels, *step),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
            ]
            before = channels
        layers += [nn.ConvTranspose1d(before, 1, kernel, stride, pad, more), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, content: Tensor) -> Tensor:
        batch, features, frames = content.shape
        alone = content.transpose(1, 2).reshape(batch * frames, features, 1)
        return self.layers(alone).reshape(batch, -1)


class Generator(nn.Module):
    """Pictures -> sound. The GRU runs forward alone (inferred: 1 names use in real time), so that
    frame f of the sound hears of no picture after f + 3."""

    def __init__(self, shape: GanShape) -> None:
        super().__init__()
        self.shape = shape
        features = shape.scaled(FEATURES)
        self.encoder = VisualEncoder(shape)
        self.memory = nn.GRU(features, features, batch_first=True)
        self.decoder = FrameDecoder(shape)

    def forward(self, pictures: Tensor) -> Tensor:
        """uint8 or float [B, T, H, W, 3] in 0..255 -> float32 [B, T N]."""
        content, _ = self.memory(self.encoder(in_units(pictures)).transpose(1, 2))
        return self.decoder(content.transpose(1, 2))


class Critic(nn.Module):
    """A second of sound [B, S] -> D(x) [B]. No layer joins the samples of a batch, for each is
    penalised by itself (2.2). The paper's "3D CNN" is a slip: what it is given is sound."""

    def __init__(self, shape: GanShape, num_samples: int) -> None:
        super().__init__()
        stride, pad = CRITIC_STEPS[shape.sample_rate]
        layers: list[nn.Module] = []
        before, left = 1, num_samples
        for channels in map(shape.scaled, CRITIC_CHANNELS):
            layers += [
                nn.Conv1d(before, channels, CRITIC_KERNEL, stride, pad),
                nn.LeakyReLU(SLOPE),
            ]
            before, left = channels, (left + 2 * pad - CRITIC_KERNEL) // stride + 1
        layers.append(nn.Conv1d(before, 1, left))
        self.layers = nn.Sequential(*layers)

    def forward(self, sound: Tensor) -> Tensor:
        return self.layers(sound[:, None])[:, 0, 0]


def in_units(pictures: Tensor) -> Tensor:
    """[B, T, H, W, 3] in 0..255 -> float32 [B, 3, T, H, W] in +-1 (inferred: "normalised", 3.1)."""
    return pictures.float().movedim(4, 1) / 127.5 - 1


def cut(sound: Tensor, starts: Tensor, num_samples: int) -> Tensor:
    """`num_samples` of each row of [B, S] from `starts` int [B] on (the paper's S)."""
    steps = torch.arange(num_samples, device=sound.device)
    return sound.gather(1, starts[:, None] + steps)
