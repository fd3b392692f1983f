"""A face to the voice it may have (Lip2Speech, 3.3): Inception-ResNet v1, two layers, 256 numbers.

    face -> InceptionResnet -> 512 -> GELU -> 256 = F       GE2E's 256 of the sound = E
    embedding of a face = F / |F| over 0, where it is compared with E by `objective.py`

Legend: B batch, H = W pixels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from manifests.weights.cache import fetch
from training.layers.inception_resnet import STAGES, InceptionResnet
from training.layers.voice_encoder import unit_voice
from training.models.speaker_identity.face_decoder import face_decoder_of
from training.models.speaker_identity.shape import EMBEDDING, IdentityShape

Frozen = Literal["three_blocks", "all_but_head", "none"]
FROZEN = {"none": (), "three_blocks": STAGES[:3], "all_but_head": STAGES[:4]}


class SpeakerIdentity(nn.Module):
    """What is kept: the face encoder, and the face decoder where there is one."""

    def __init__(self, shape: IdentityShape) -> None:
        super().__init__()
        self.shape = shape
        self.backbone = InceptionResnet(shape.width)
        inner = shape.scaled(512)
        self.projection = nn.Sequential(
            nn.Linear(inner, inner), nn.GELU(), nn.Linear(inner, EMBEDDING)
        )
        self.face_decoder = face_decoder_of(shape)
        self._frozen: tuple[nn.Module, ...] = ()

    def forward(self, faces: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> F [B, 256]."""
        pictures = (faces.permute(0, 3, 1, 2).float() - 127.5) / 128
        return self.projection(self.backbone(pictures))

    def embed(self, faces: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> [B, 256], not negative and of length 1, as it is used."""
        return unit_voice(self(faces))

    @property
    def learning(self) -> nn.ModuleList:
        """The face encoder, whose frozen parameters take no gradient."""
        return nn.ModuleList([self.backbone, self.projection])

    def freeze(self, which: Frozen) -> None:
        """Parts of the backbone keep parameters and statistics from now on (3.3)."""
        stages = self.backbone.stages()
        self._frozen = tuple(part for name in FROZEN[which] for part in stages[name])
        for part in self._frozen:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> SpeakerIdentity:
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self


def load_faces(network: SpeakerIdentity, name: str) -> None:
    """The backbone's weights, of a registered file. Raises ModelFileError where it cannot be had,
    ValueError where it does not fit."""
    path = fetch(name)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no such file raises almost anything
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not read as tensors: {why}") from None
    try:
        network.backbone.load_published(state)
    except ValueError as error:
        raise ValueError(f"{path} does not fit: {error}") from None
