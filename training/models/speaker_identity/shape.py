"""The numbers of the speaker identity module: `paper` and `tiny` are the same classes.

Sections are those of "Show Me Your Face, And I'll Tell You How You Speak" (Lip2Speech); "inferred"
says why where they are silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from manifests.records import col
from training.layers.inception_resnet import LEAST_PX
from training.layers.sequences import widened

EMBEDDING = 256
"""Of faces and voices (5.1), whatever the width: GE2E's."""


@dataclass(frozen=True)
class IdentityShape:
    """All that decides which parameters there are and what is computed with them."""

    width: float = col("factor on all channels but the embedding's", default=1.0, above=0.0)
    face_px: int = col(
        "height and width of the face; inferred: 160, what Inception-ResNet v1 was trained with",
        "px",
        default=160,
        at_least=LEAST_PX,
    )
    face_decoder: Literal["dcgan", "published", "none"] = col(
        "dcgan: 64 x 64 by transposed convolutions (5.1); published: the authors' code, 160 x 160 "
        "by inverted residuals",
        default="dcgan",
    )

    def scaled(self, channels: int) -> int:
        return widened(channels, self.width)


def tiny() -> IdentityShape:
    """For a processor: a quarter of the width, faces of 80 px."""
    return IdentityShape(width=0.25, face_px=80)
