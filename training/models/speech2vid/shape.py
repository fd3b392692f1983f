"""All that decides which parameters Speech2Vid has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from manifests.records import col
from training.layers.sequences import widened


@dataclass(frozen=True)
class Speech2VidShape:
    """Sizes of the three networks; the pictures are 112 px in and 109 out at any width."""

    variant: Literal["paper", "released"] = col(
        "paper: two skips, none behind conv1, for it holds the mouth shut (3.2, 4.1); released: "
        "the published weights' three",
        default="paper",
    )
    stills: int = col("pictures of the face: 1, or 5 as channels (4.2)", default=1, at_least=1)
    width: float = col("factor on all channels", default=1.0, above=0.0)
    decoder_norm: bool = col(
        "batch norm in the decoder too: 3.2 trains with it, the published weights have none there",
        default=False,
    )

    @property
    def has_third_skip(self) -> bool:
        """conv1's activations reach the decoder."""
        return self.variant == "released"

    def scaled(self, channels: int) -> int:
        return widened(channels, self.width)
