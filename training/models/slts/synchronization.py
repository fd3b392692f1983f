"""The automatic synchronization mechanism's parts (Niu and Mak 3.3), one function an equation.

An offset of k columns means that the picture lags the sound by 10 k ms, as `video_lag_ms` does.

Where the paper's text and its equations differ:
- Eq. 5 prints mhat[i - khat]. A picture that lags by khat makes a spectrogram that lags by khat, so
  column i of the sound is mhat[i + khat]: so says "a shift of -khat frames corrects" (3.3.2), and
  so Eq. 3, whose kernel is P(-k). The printed sign was tried: R2 .41 for .95 and twice the loss.
- Eq. 5's khat is of P(. | F, Mhat), the text's of P(. | F, M), "based on the video features and the
  ground truth": M it is.
- Eq. 1 is a sum over up to 300 terms and tau is not printed. Here c_k is the mean over its terms:
  tau means the same for clips of every length, and a large |k| is no worse for its few terms.

Legend: B batch, D features, M mel bands, T frames, L = 4 T columns, E embedding, K radius.
Masks are bool [B, L] of columns, true from the start (`training/layers/sequences.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.layers.sequences import (
    SequenceBatchNorm,
    frames_to_columns,
    in_float32,
    mask_of_columns,
    zero_outside,
)


class LocalExtractor(nn.Module):
    """[B, C, L] -> unit vectors [B, E, L]; it sees one column to either side (3.3.1, fig. 3)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(inputs, channels, 3, padding=1)
        self.norm = SequenceBatchNorm(channels)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.mix_norm = SequenceBatchNorm(channels)
        self.embed = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = functional.gelu(self.norm(self.convolve(zero_outside(x, mask)), mask))
        x = functional.gelu(self.mix_norm(self.mix(x), mask))
        x = functional.normalize(self.embed(x.transpose(1, 2)), dim=2)
        return zero_outside(x.transpose(1, 2), mask)


class OffsetPredictor(nn.Module):
    """Features [B, D, T] and a mel [B, M, L] -> log P [B, 2 K + 1] over -K .. K (3.3.1).

    720,384 parameters of 512 features, 80 bands and 256 channels (inferred).
    """

    def __init__(
        self, features: int, num_mels: int, channels: int, radius: int, temperature: float
    ) -> None:
        super().__init__()
        self.see = LocalExtractor(features, channels)
        self.hear = LocalExtractor(num_mels, channels)
        self.radius, self.temperature = radius, temperature

    def forward(self, features: Tensor, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """The mask is [B, T], of frames. Features are upsampled before the first convolution."""
        columns = mask_of_columns(mask)
        seen = self.see(frames_to_columns(features, mask), columns)
        heard = self.hear(mel, columns)
        # bfloat16 has steps of .004 near 1, which tau would make steps of .1 in log P.
        with in_float32(seen):
            curve = cross_correlation(seen.float(), heard.float(), self.radius, columns)
            return functional.log_softmax(curve / self.temperature, 1)


def cross_correlation(
    seen: Tensor, heard: Tensor, radius: int, mask: Tensor | None = None
) -> Tensor:
    """Eq. 1 as a mean: c_k of v, u [B, E, L] over i of <v_i, u_{i - k}>, [B, 2 K + 1].

    Column n is k = n - K. Only pairs of which both are inside count; -inf where there is none.
    """
    length = seen.shape[2]
    product = seen.transpose(1, 2) @ heard  # [B, L, L]: v_i, u_j
    column = torch.arange(length, device=seen.device)[:, None]
    other = column - torch.arange(-radius, radius + 1, device=seen.device)
    inside = ((other >= 0) & (other < length))[None]
    other = other.clamp(0, length - 1)
    if mask is not None:
        inside = inside & mask[:, :, None] & mask[:, other]
    pairs = product.gather(2, other.expand(len(seen), -1, -1)) * inside
    terms = inside.sum(1)
    return (pairs.sum(1) / terms.clamp_min(1)).masked_fill(terms == 0, -torch.inf)


def most_probable(log_probability: Tensor) -> Tensor:
    """khat [B] in columns, of log P [B, 2 K + 1]."""
    return log_probability.argmax(1) - log_probability.shape[1] // 2


def soft_correct(
    mel: Tensor, log_probability: Tensor, mask: Tensor | None = None, stop: bool = True
) -> tuple[Tensor, Tensor]:
    """Eq. 3: mhat^s_i = sum over k of P(k) sg(mhat_{i + k}); and which columns count.

    `mel` [B, M, L] gets no gradient: offsets that are wrong, of which the sum has many, would teach
    the decoder several targets at once (3.3.2); without `stop` it does. Columns nearer than K to
    an end lose some of their kernel and are left out (bool [B, L]); inferred, the paper loses
    their mass silently.
    """
    batch, _, length = mel.shape
    radius = log_probability.shape[1] // 2
    kernels = log_probability.exp().to(mel.dtype)[:, None]
    # One kernel for each clip: clips are the groups, mel bands the batch.
    bands = (mel.detach() if stop else mel).transpose(0, 1)
    with in_float32(mel):
        slid = functional.conv1d(bands, kernels, padding=radius, groups=batch).transpose(0, 1)
    column = torch.arange(length, device=mel.device)
    lengths = mel.new_full((batch,), length) if mask is None else mask.sum(1)
    inner = (column >= radius) & (column < lengths[:, None] - radius)
    return slid, inner


def hard_correct(mel: Tensor, offset: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Eq. 5: mhat^h_i = mhat_{i + khat}, zero where that is outside; and which columns are not.

    `mel` [B, M, L], khat int [B] -> [B, M, L], bool [B, L]. The gradient goes to `mel` alone.
    """
    batch, _, length = mel.shape
    lengths = offset.new_full((batch,), length) if mask is None else mask.sum(1)
    column = torch.arange(length, device=mel.device)
    source = column + offset[:, None]
    inside = (source >= 0) & (source < lengths[:, None]) & (column < lengths[:, None])
    source = source.clamp(0, length - 1)[:, None].expand_as(mel)
    return zero_outside(mel.gather(2, source), inside), inside
