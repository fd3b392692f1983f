"""The numbers of Lip2Speech's networks: `paper` and `tiny` are the same classes.

Sections are those of "Show Me Your Face, And I'll Tell You How You Speak" (Lip2Speech, 2022); what
the paper does not say is the authors' code's (Chris10M/Lip2Speech), or "inferred" says why.

Where the two contradict each other `variant` chooses; what differs is listed in docs/models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from manifests.clock import SAMPLES_PER_FRAME
from manifests.records import col
from training.data.sound_features import LIP2SPEECH_HOP
from training.layers.sequences import widened
from training.models.speaker_identity.shape import EMBEDDING, IdentityShape
from training.models.speaker_identity.shape import tiny as tiny_identity

COLUMNS_PER_FRAME = SAMPLES_PER_FRAME / LIP2SPEECH_HOP
"""2.5: 62.5 columns and 25 frames a second."""
VIDEO_FEATURES, HIDDEN, WORDS = 768, 512, 501
FRONT_CHANNELS, STAGE_CHANNELS = 24, (116, 232, 464)
Variant = Literal["paper", "code"]


@dataclass(frozen=True)
class Lip2SpeechShape:
    """All that decides which parameters there are and what is computed with them."""

    variant: Variant = col(
        "paper: 2 layers of BiLSTM whose hidden and cell states begin 4 layers of LSTM, the latent "
        "of the stop token is the hidden state (3.5); code: 1 and 2 layers, cell states begin at "
        "zero and are the latent, the voice begins the BiLSTM, and a codebook of words",
        default="paper",
    )
    width: float = col("factor on all channels but the embedding's", default=1.0, above=0.0)
    lip_px: int = col(
        "height and width of the lips; the authors' code: 96", "px", default=96, at_least=32
    )
    identity: IdentityShape = field(default_factory=IdentityShape)
    max_columns: int = col(
        "columns after which a chunk ends without a stop token; the authors' code: 300",
        "column",
        default=300,
        at_least=10,
    )
    prenet_dropout: float = col(
        'paper: "heavy" (3.5), .5 inferred from Tacotron 2; code: .2', default=0.5, at_least=0.0
    )
    dropout: float = col(
        "of the lips' features and between the decoder's layers; the authors' code: .1",
        default=0.1,
        at_least=0.0,
    )
    attention_dropout: float = col(
        "of attention's logits; code: .1, the paper names none", default=0.0, at_least=0.0
    )
    post_dropout: float = col("of the post-net; the authors' code: .5", default=0.5, at_least=0.0)

    def scaled(self, channels: int) -> int:
        return widened(channels, self.width)

    @property
    def is_code(self) -> bool:
        return self.variant == "code"

    @property
    def encoder_layers(self) -> int:
        return 1 if self.is_code else 2

    @property
    def decoder_layers(self) -> int:
        """As many as the encoder's layers have directions."""
        return 2 * self.encoder_layers

    @property
    def visual_features(self) -> int:
        """Of a frame: lips and voice (3.2)."""
        return self.scaled(VIDEO_FEATURES) + EMBEDDING


def paper() -> Lip2SpeechShape:
    """Section 3."""
    return Lip2SpeechShape()


def code() -> Lip2SpeechShape:
    """The authors' code."""
    return Lip2SpeechShape("code", prenet_dropout=0.2, attention_dropout=0.1)


def tiny() -> Lip2SpeechShape:
    """For a processor: a quarter of the width, lips of 48 px. The half of each dropout (inferred:
    so narrow a network cannot learn too much by heart in ten minutes)."""
    return Lip2SpeechShape(
        width=0.25,
        lip_px=48,
        identity=tiny_identity(),
        prenet_dropout=0.25,
        dropout=0.05,
        post_dropout=0.25,
    )
