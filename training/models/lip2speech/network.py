"""Lip2Speech (figure 2): a voice from one face, features of the lips, and speech of both.

    face -> SpeakerIdentity -> s      lips -> VideoExtractor -> [v, s] a frame -> MelDecoder -> mel

Legend: B batch, N frames, T columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.layers.sequences import within
from training.models.lip2speech.decoder import Decoded, MelDecoder, Memory
from training.models.lip2speech.shape import Lip2SpeechShape
from training.models.lip2speech.video import VideoExtractor
from training.models.speaker_identity.network import SpeakerIdentity


class Lip2Speech(nn.Module):
    """What is kept."""

    def __init__(self, shape: Lip2SpeechShape) -> None:
        super().__init__()
        self.shape = shape
        self.identity = SpeakerIdentity(shape.identity)
        self.video = VideoExtractor(shape)
        self.decoder = MelDecoder(shape)
        self.dropout = nn.Dropout(shape.dropout)

    @property
    def learning(self) -> nn.ModuleList:
        """All but the speaker identity module, which is trained before and frozen (3.3)."""
        return nn.ModuleList([self.video, self.decoder])

    def remember(self, lips: Tensor, voices: Tensor, lengths: Tensor) -> Memory:
        """uint8 [B, N, H, W, 3], voices [B, 256], frames that are there int [B]."""
        features = self.dropout(self.video(lips, within(lengths, lips.shape[1])))
        tiled = voices[:, None].expand(-1, features.shape[1], -1)
        return self.decoder.remember(torch.cat([features, tiled], 2), voices, lengths)

    def taught(
        self,
        lips: Tensor,
        voices: Tensor,
        lengths: Tensor,
        truth: Tensor,
        is_taught: Tensor,
        columns: Tensor,
    ) -> Decoded:
        """A training step's columns (`MelDecoder.taught`)."""
        memory = self.remember(lips, voices, lengths)
        return self.decoder.taught(memory, truth, is_taught, columns)

    def free(self, lips: Tensor, voices: Tensor, lengths: Tensor) -> Decoded:
        """What it says by itself."""
        return self.decoder.free(self.remember(lips, voices, lengths))
