"""The numbers of the two-tower model; `paper` and `tiny` are the same classes at another width.

Sections are those of Ephrat et al. (2017); "inferred" says why where they are silent.
"""

from __future__ import annotations

from dataclasses import dataclass

from manifests.records import col
from training.layers.sequences import widened

STAGES = ((128, 2), (256, 4), (512, 4))
"""Channels and blocks (4.1). The text has ten blocks and eleven numbers; inferred: the first 128 is
the convolution before them, and all three convolutions of a block have its width."""


@dataclass(frozen=True)
class TwoTowerShape:
    """All that decides which parameters there are."""

    width: float = col("factor on all channels but the spectrogram's", default=1.0, above=0.0)
    height_px: int = col("of the face, which is 4 / 5 as wide (5: 160 x 128)", "px", default=160)
    context_frames: int = col("K, frames of a clip (5)", "frame", default=9, at_least=3)
    pixels: bool = col("the tower of pictures; false: table 5, `optical flow only`", default=True)
    flow: bool = col("the tower of optical flow; false: table 5, `pixels only`", default=True)
    post_net: bool = col("CBHG to a linear spectrogram; false: table 5, third row", default=True)
    biased: bool = col("convolutions with a bias, as the paper's library has them", default=True)
    slope: float = col("of the leaky ReLU; inferred: that library's default", default=0.3)
    conv_dropout: float = col(
        "after convolutional layers (5); inferred: after each stage", default=0.25, at_least=0.0
    )
    dense_dropout: float = col("after fully connected ones (5)", default=0.5, at_least=0.0)

    def __post_init__(self) -> None:
        if not (self.pixels or self.flow):
            raise ValueError("without pixels and without flow there is nothing to see")
        if self.context_frames % 2 == 0:
            raise ValueError("a clip has a central frame: context_frames must be odd")

    @property
    def margin(self) -> int:
        """Frames of a clip on either side of its central one."""
        return self.context_frames // 2

    def scaled(self, channels: int) -> int:
        return widened(channels, self.width)


def paper() -> TwoTowerShape:
    """Sections 4 and 5."""
    return TwoTowerShape()


def tiny() -> TwoTowerShape:
    """For a processor: a quarter of the width, faces of 80 x 64. The half of each dropout
    (inferred: so narrow a network cannot learn too much by heart in ten minutes)."""
    return TwoTowerShape(width=0.25, height_px=80, conv_dropout=0.1, dense_dropout=0.25)
