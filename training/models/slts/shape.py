"""The numbers of SLTS's networks: `paper` and `tiny` are the same classes at another width.

Sections are Niu and Mak's; "inferred" says why where they are silent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from manifests.records import col
from training.layers.sequences import widened

CONFORMER_CHANNELS = {"S": 144, "M": 256}
"""Gulati et al. 2020, table 1; S for GRID and TCD-TIMIT, M for Lip2Wav (4.4)."""


@dataclass(frozen=True)
class SltsShape:
    """All that decides which parameters there are and what is computed with them."""

    width: float = col("factor on all channels but the mel's", default=1.0, above=0.0)
    conformer: Literal["S", "M"] = col("size of the conformer (4.4)", default="S")
    conformer_blocks: int = col("blocks (Gulati, table 1)", default=16, at_least=1)
    conformer_heads: int = col("attention heads (Gulati, table 1)", default=4, at_least=1)
    conformer_kernel: int = col(
        "depthwise kernel; inferred: the nearest odd one to Gulati's 32", "frame", default=31
    )
    dropout: float = col("in conformer and post-net (Gulati 3.2)", default=0.1, at_least=0.0)
    picture_px: int = col(
        "side of the face crop; inferred: VCA-GAN, compared with in 4.4, has 96", "px", default=96
    )
    picture_channels: Literal[1, 3] = col("RGB (3.2), or luma alone", default=3)
    recompute: bool = col("gradient checkpointing on the frame encoder (4.4)", default=True)
    speaker_channels: int = col(
        "speaker embedding; inferred: 3.2 gives no size, and speakers are few", default=64
    )
    post_net_channels: int = col("inferred: Tacotron 2's", default=512)
    predictor_channels: int = col(
        "of the offset predictors, embedding included; inferred: half of the features'", default=256
    )
    num_mels: int = col("inferred: VCA-GAN's and Lip2Wav's", default=80)
    radius_columns: int = col(
        "offsets searched, plus and minus; 3.3.1: 150 to 300 ms. 20 covers plants of 150 ms",
        "column",
        default=20,
    )
    temperature: float = col(
        "tau of Eq. 2 on a mean over terms; .02 to .2 were tried, .05 works at once", default=0.05
    )
    asm: bool = col("false: the row `w/o ASM` of table 2", default=True)
    soft_stop: bool = col(
        "the soft loss teaches the decoder nothing (3.3.2); false: an ablation", default=True
    )
    printed_sign: bool = col(
        "hard correction by mhat[i - khat], as Eq. 5 is printed; an ablation", default=False
    )
    dsm_detach_video: bool = col(
        "keep the soft loss out of the frame encoder; the text does not", default=False
    )
    vocoder_channels: int = col("inferred: the smaller published UnivNet", default=16)
    vocoder_hidden: int = col("of its kernel predictors (maum-ai/univnet)", default=64)
    vocoder_noise: int = col("noise channels (maum-ai/univnet)", default=64)
    vocoder_width: float = col("factor on the three above", default=1.0, above=0.0)

    def scaled(self, channels: int) -> int:
        return widened(channels, self.width)

    def scaled_vocoder(self, channels: int) -> int:
        return widened(channels, self.vocoder_width)


def paper(conformer: Literal["S", "M"] = "S") -> SltsShape:
    """The paper's: S for GRID and TCD-TIMIT, M for Lip2Wav (4.4)."""
    return SltsShape(conformer=conformer)


def tiny(asm: bool = True) -> SltsShape:
    """For a processor: a quarter of the width, grey mouths of 32 px, two conformer blocks.

    1.2 million parameters without the vocoder; .63 CPU-seconds a step of 16 clips of 64 frames.
    After 50 such steps the DSM had all plants of up to 150 ms on 64 unseen clips of drawn mouths
    within 40 ms, without bias (one seed).
    """
    return replace(
        paper(),
        width=0.25,
        conformer_blocks=2,
        picture_px=32,
        picture_channels=1,
        recompute=False,
        vocoder_width=0.5,
        asm=asm,
    )
