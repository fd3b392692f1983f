"""The numbers of the waveform GAN's networks: `paper` and `tiny` are the same classes.

Sections are Vougioukas et al.'s (2019). Its figure 2, which has kernels and channels, is lost in
the text at hand: layers are those of the group's facial animation code, fitted to the sizes that
the text states; "inferred" says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from manifests.clock import FRAME_RATE
from manifests.records import col
from training.layers.sequences import widened

WINDOW_FRAMES = 7
"""N (2.4): a window is centred on its frame, three to either side (inferred)."""
ENCODER_CHANNELS = (64, 128, 256, 512)
FEATURES = 256
DECODER_CHANNELS = (256, 128, 64, 32, 16)
CRITIC_CHANNELS = (32, 64, 128, 256, 512)
CRITIC_KERNEL = 25
DECODER_STEPS = {
    50_000: (
        (5, 1, 0, 0),
        (10, 5, 3, 1),
        (4, 2, 1, 0),
        (4, 2, 1, 0),
        (4, 2, 1, 0),
        (50, 10, 20, 0),
    ),
    16_000: ((5, 1, 0, 0), (4, 2, 1, 0), (4, 2, 1, 0), (4, 2, 1, 0), (8, 4, 2, 0), (16, 4, 6, 0)),
}
"""Kernel, stride, padding, output padding of each transposed convolution (inferred): strides are
factors of a frame's samples, kernels twice the stride, as in the group's sound encoder."""
CRITIC_STEPS = {50_000: (5, 10), 16_000: (4, 11)}
"""Stride and padding of the critic's convolutions (inferred)."""


@dataclass(frozen=True)
class GanShape:
    """All that decides which parameters there are and what is computed with them."""

    width: float = col("factor on all channels", default=1.0, above=0.0)
    sample_rate: Literal[50_000, 16_000] = col(
        "of the sound that is made (4: 50 kHz); 16000 is our reduced form", "1/s", default=50_000
    )
    picture_px: int = col(
        "height of the lower half of the face, whose width is 1.5 times that (3.1: 64 x 96); a "
        "multiple of 32",
        "px",
        default=64,
        at_least=32,
    )

    def __post_init__(self) -> None:
        if self.picture_px % 32:
            raise ValueError(
                f"picture_px={self.picture_px}: four convolutions halve the picture and 1.5 times "
                "its height, so it must be a multiple of 32"
            )

    def scaled(self, channels: int) -> int:
        return widened(channels, self.width)

    @property
    def samples_per_frame(self) -> int:
        """2000 at 50 kHz, 640 at 16 kHz."""
        return int(self.sample_rate / FRAME_RATE)


def paper() -> GanShape:
    """The paper's."""
    return GanShape()


def tiny() -> GanShape:
    """For a processor: a quarter of the width, half of the picture, 16 kHz."""
    return GanShape(width=0.25, sample_rate=16_000, picture_px=32)
