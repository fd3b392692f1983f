"""UTMOS22's strong learner (Saeki et al., Interspeech 2022, section 3), as it is run.

wav2vec 2.0 base (Baevski et al. 2020) on the wave; its features with the embeddings of the domain
and of the judge, which the released file holds as they were chosen, through a BLSTM and two linear
layers give a score a frame, whose mean is the utterance's. Names and shapes are those of the
released file, which loads strictly.
Legend: B waves, N samples, T frames of 20 ms, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

KERNELS = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
"""Length and stride of each layer of the encoder."""
SCALE, CENTRE = 2.0, 3.0
"""From the network's output, about -1 to 1, to an opinion of 1 to 5."""


@dataclass(frozen=True)
class UtmosShape:
    """Sizes; the released ones by default."""

    channels: int = 512
    width: int = 768
    heads: int = 12
    hidden: int = 3072
    layers: int = 12
    place_kernel: int = 128
    place_groups: int = 16
    domain: int = 128
    judge: int = 128
    recurrent: int = 512
    projected: int = 2048


class UtmosNetwork(nn.Module):
    """float32 [B, N] at 16 kHz, full scale 1 -> opinions [B]."""

    def __init__(self, shape: UtmosShape | None = None) -> None:
        super().__init__()
        shape = shape or UtmosShape()
        self.wav2vec2 = _Wav2Vec2(shape)
        self.domain_emb = nn.Parameter(torch.zeros(1, shape.domain))
        self.judge_emb = nn.Parameter(torch.zeros(1, shape.judge))
        self.blstm = nn.LSTM(
            shape.width + shape.domain + shape.judge,
            shape.recurrent,
            batch_first=True,
            bidirectional=True,
        )
        self.projection = nn.Sequential(
            nn.Linear(2 * shape.recurrent, shape.projected),
            nn.ReLU(),
            nn.Linear(shape.projected, 1),
        )

    def forward(self, wave: Tensor) -> Tensor:
        features = self.wav2vec2(wave)
        each = [e.expand(*features.shape[:2], -1) for e in (self.domain_emb, self.judge_emb)]
        hidden, _ = self.blstm(torch.cat([features, *each], 2))
        return self.projection(hidden).mean((1, 2)) * SCALE + CENTRE


class _Wav2Vec2(nn.Module):
    """[B, N] -> [B, T, D]."""

    def __init__(self, shape: UtmosShape) -> None:
        super().__init__()
        self.mask_emb = nn.Parameter(torch.zeros(shape.width))  # in the file; of its training alone
        self.feature_extractor = _Encoder(shape.channels)
        self.layer_norm = nn.LayerNorm(shape.channels)
        self.post_extract_proj = nn.Linear(shape.channels, shape.width)
        self.encoder = _Transformer(shape)

    def forward(self, wave: Tensor) -> Tensor:
        features = self.feature_extractor(wave).transpose(1, 2)
        return self.encoder(self.post_extract_proj(self.layer_norm(features)))


class _Encoder(nn.Module):
    """[B, N] -> [B, channels, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList()
        for number, (kernel, stride) in enumerate(KERNELS):
            convolution = nn.Conv1d(channels if number else 1, channels, kernel, stride, bias=False)
            # What stands between is dropout, which has no weights but a number of its own.
            norm = [] if number else [nn.GroupNorm(channels, channels)]
            self.conv_layers.append(nn.Sequential(convolution, nn.Identity(), *norm, nn.GELU()))

    def forward(self, wave: Tensor) -> Tensor:
        made = wave[:, None]
        for layer in self.conv_layers:
            made = layer(made)
        return made


class _Transformer(nn.Module):
    """[B, T, D] -> [B, T, D]; places are told by a convolution."""

    def __init__(self, shape: UtmosShape) -> None:
        super().__init__()
        self.pos_conv = nn.ModuleList([_Places(shape)])
        self.layer_norm = nn.LayerNorm(shape.width)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))

    def forward(self, features: Tensor) -> Tensor:
        made = self.layer_norm(features + self.pos_conv[0](features))
        for layer in self.layers:
            made = layer(made)
        return made


class _Places(nn.Module):
    """A grouped convolution over time whose weight is kept as length and direction, one length for
    each place of the kernel."""

    def __init__(self, shape: UtmosShape) -> None:
        super().__init__()
        self.groups = shape.place_groups
        self.bias = nn.Parameter(torch.zeros(shape.width))
        self.weight_g = nn.Parameter(torch.ones(1, 1, shape.place_kernel))
        self.weight_v = nn.Parameter(
            torch.randn(shape.width, shape.width // shape.place_groups, shape.place_kernel)
        )

    def forward(self, features: Tensor) -> Tensor:
        kernel = self.weight_v.shape[2]
        length = self.weight_v.norm(dim=(0, 1), keepdim=True)
        weight = self.weight_v * (self.weight_g / length)
        made = functional.conv1d(
            features.transpose(1, 2), weight, self.bias, padding=kernel // 2, groups=self.groups
        )
        # An even kernel with half of it at both ends gives one frame too many.
        made = made[:, :, : features.shape[1]]
        return functional.gelu(made).transpose(1, 2)


class _Layer(nn.Module):
    """Attention and a feed-forward part, each added and then normalised."""

    def __init__(self, shape: UtmosShape) -> None:
        super().__init__()
        self.self_attn = _Attention(shape.width, shape.heads)
        self.self_attn_layer_norm = nn.LayerNorm(shape.width)
        self.fc1 = nn.Linear(shape.width, shape.hidden)
        self.fc2 = nn.Linear(shape.hidden, shape.width)
        self.final_layer_norm = nn.LayerNorm(shape.width)

    def forward(self, features: Tensor) -> Tensor:
        made = self.self_attn_layer_norm(features + self.self_attn(features))
        return self.final_layer_norm(made + self.fc2(functional.gelu(self.fc1(made))))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            nn.Linear(width, width) for _ in range(4)
        )

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = (
            p(features).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(seen.transpose(1, 2).flatten(2))
