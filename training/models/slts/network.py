"""SLTS (Niu and Mak 2023, fig. 2): pictures to a mel spectrogram, its correction, and sound.

    pictures -> FrameEncoder -> F -> [F, speaker] -> Conformer -> 100 Hz -> PostNet -> Mhat
    F, M -> DSM -> P_D(k) -> Mhat^s (soft), Mhat^h (hard)        F, Mhat -> SSM -> P_S(k)
    .6 s of Mhat^h -> UnivNet -> sound

Which loss trains what: the soft one the DSM (and the frame encoder, unless `dsm_detach_video`),
never the decoder; the hard one frame encoder and decoder, never the DSM; the SSM's its own
predictor, decoder and encoder; the vocoder's all but the predictors. Without `asm` there are no
predictors and Mhat is compared and spoken as it is (table 2, `w/o ASM`).

Legend: B batch, T frames (25 Hz), L = 4 T columns (100 Hz), S = 160 L samples (16 kHz), H = W
pixels, D features, M = 80 mel bands, K radius. Masks are bool, true from the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.layers.conformer import Conformer
from training.layers.front_end import FrameEncoder, normalise
from training.layers.post_net import PostNet
from training.layers.sequences import frames_to_columns, mask_of_columns, within
from training.layers.univnet import HOP, UnivNet
from training.models.slts.shape import CONFORMER_CHANNELS, SltsShape
from training.models.slts.synchronization import (
    OffsetPredictor,
    hard_correct,
    most_probable,
    soft_correct,
)

SEGMENT_COLUMNS = 60
"""The vocoder is trained on .6 s (3.2): 60 columns, 9600 samples."""


@dataclass(frozen=True)
class Corrected:
    """What the mechanism makes of a batch; all [B, ...]."""

    offset: Tensor
    """khat int [B] in columns: positive where the picture lags the sound."""
    log_p_data: Tensor
    """DSM's log P(k | F, M), [B, 2 K + 1]."""
    log_p_self: Tensor
    """SSM's log P(k | F, Mhat), [B, 2 K + 1]."""
    soft: Tensor
    """Mhat^s [B, M, L], which no gradient leaves towards the decoder."""
    soft_counts: Tensor
    """Columns of it that are whole, bool [B, L]."""


@dataclass(frozen=True)
class Heard:
    """A training step's forward pass."""

    mel: Tensor
    """Mhat [B, M, L], on the picture's time."""
    hard: Tensor
    """Mhat^h [B, M, L], on the sound's time; Mhat itself without ASM."""
    hard_counts: Tensor
    """Its columns that exist, bool [B, L]."""
    corrected: Corrected | None
    """None without ASM."""


class Decoder(nn.Module):
    """Features [B, D, T] and speaker vectors [B, V] -> Mhat [B, M, 4 T] (3.2)."""

    def __init__(self, shape: SltsShape, features: int, speaker_channels: int) -> None:
        super().__init__()
        channels = shape.scaled(CONFORMER_CHANNELS[shape.conformer])
        self.enter = nn.Linear(features + speaker_channels, channels)
        self.conformer = Conformer(
            channels,
            shape.conformer_blocks,
            shape.conformer_heads,
            shape.conformer_kernel,
            shape.dropout,
        )
        hidden = shape.scaled(shape.post_net_channels)
        self.post_net = PostNet(channels, hidden, shape.num_mels, shape.dropout)

    def forward(self, features: Tensor, speakers: Tensor, mask: Tensor | None) -> Tensor:
        seen = features.transpose(1, 2)
        spoken = speakers[:, None].expand(-1, seen.shape[1], -1)
        x = self.conformer(self.enter(torch.cat([seen, spoken], 2)), mask)
        return self.post_net(frames_to_columns(x.transpose(1, 2), mask), mask_of_columns(mask))


class Slts(nn.Module):
    """The whole of SLTS but its discriminators, which only training knows."""

    def __init__(self, shape: SltsShape, num_speakers: int = 1) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = FrameEncoder(shape.width, shape.picture_channels, shape.recompute)
        features = self.encoder.num_features
        speaker_channels = shape.scaled(shape.speaker_channels)
        # 3.2 names a speaker embedding and not its origin. Learnt, one a training speaker: inferred
        # from table 1, where all speakers are in all parts.
        self.speakers = nn.Embedding(num_speakers, speaker_channels)
        self.decoder = Decoder(shape, features, speaker_channels)
        self.dsm = self._predictor(features) if shape.asm else None
        self.ssm = self._predictor(features) if shape.asm else None
        self.vocoder = UnivNet(
            shape.scaled_vocoder(shape.vocoder_channels),
            shape.scaled_vocoder(shape.vocoder_hidden),
            shape.scaled_vocoder(shape.vocoder_noise),
            shape.num_mels,
        )

    def _predictor(self, features: int) -> OffsetPredictor:
        shape = self.shape
        channels = shape.scaled(shape.predictor_channels)
        return OffsetPredictor(
            features, shape.num_mels, channels, shape.radius_columns, shape.temperature
        )

    def encode(self, pictures: Tensor, mask: Tensor | None = None) -> Tensor:
        """uint8 [B, T, H, W, 3] or [B, T, H, W] -> F [B, D, T], each frame by itself."""
        return self.encoder(normalise(pictures), mask)

    def decode(
        self, features: Tensor, speakers: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """F [B, D, T] -> Mhat [B, M, L]. Without speakers int [B], a voice that is all voices'
        mean (inferred: a stranger has none of its own)."""
        if speakers is None:
            voices = self.speakers.weight.mean(0).expand(len(features), -1)
        else:
            voices = self.speakers(speakers)
        return self.decoder(features, voices, mask)

    def forward(
        self,
        pictures: Tensor,
        mel: Tensor,
        speakers: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Heard:
        """A training step: `pictures` as in `encode`, the sound's M [B, M, L], frames int [B].

        The mel is in the scale that the losses shall see; behind a clip's end it is zero.
        """
        mask = None if lengths is None else within(lengths, pictures.shape[1])
        features = self.encode(pictures, mask)
        guess = self.decode(features, speakers, mask)
        columns = mask_of_columns(mask)
        if self.dsm is None or self.ssm is None:
            whole = torch.ones_like(guess[:, 0], dtype=torch.bool) if columns is None else columns
            return Heard(guess, guess, whole, None)
        seen = features.detach() if self.shape.dsm_detach_video else features
        log_p = self.dsm(seen, mel, mask)
        offset = most_probable(log_p)
        shift = -offset if self.shape.printed_sign else offset
        hard, hard_counts = hard_correct(guess, shift, columns)
        soft, soft_counts = soft_correct(guess, log_p, columns, self.shape.soft_stop)
        log_p_self = self.ssm(features, guess, mask)
        corrected = Corrected(offset, log_p, log_p_self, soft, soft_counts)
        return Heard(guess, hard, hard_counts, corrected)

    def measure(self, pictures: Tensor, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The DSM as a lip-sync tool (2.2): log P(k | F, M) [B, 2 K + 1].

        Raises ValueError without ASM.
        """
        if self.dsm is None:
            raise ValueError("a model trained without ASM measures no offset")
        mask = None if lengths is None else within(lengths, pictures.shape[1])
        return self.dsm(self.encode(pictures, mask), mel, mask)

    def speak(self, mel: Tensor, noise: Tensor | None = None) -> Tensor:
        """Mhat [B, M, L] -> sound [B, 160 L]; without `noise` [B, Z, L] it is drawn here."""
        if noise is None:
            size = (len(mel), self.vocoder.noise_channels, mel.shape[2])
            noise = torch.randn(size, device=mel.device, dtype=mel.dtype)
        return self.vocoder(mel, noise)


def segment_starts(counts: Tensor, chance: Tensor, size: int = SEGMENT_COLUMNS) -> Tensor:
    """First columns int [B] of segments that lie where `counts` bool [B, L] is true throughout.

    `chance` [B] in [0, 1) is the sample's own draw. -1 where no segment fits; what counts is one
    span, as `hard_correct` gives.
    """
    first = counts.int().argmax(1)
    room = counts.sum(1) - size + 1
    starts = first + (chance * room).long().clamp_min(0)
    return torch.where(room > 0, starts, -1)


def segments(
    mel: Tensor, sound: Tensor, starts: Tensor, size: int = SEGMENT_COLUMNS
) -> tuple[Tensor, Tensor]:
    """Columns [s, s + 60) of [B, M, L] with samples [160 s, 160 (s + 60)) of [B, S], s >= 0."""
    columns = starts[:, None] + torch.arange(size, device=mel.device)
    samples = HOP * starts[:, None] + torch.arange(HOP * size, device=mel.device)
    return mel.gather(2, columns[:, None].expand(-1, mel.shape[1], -1)), sound.gather(1, samples)
