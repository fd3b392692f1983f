"""What VCA-GAN is fed of a sample: a window of mouths and spectra, a mirror, a grey square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.views import View
from training.harness.look import drawn_look
from training.models.vca_gan.config import VcaGanView

LEAST_CORNER, MOST_CORNER, CODE_PX = -10, 66, 112
"""Where the code's square may begin, of its pictures."""


@dataclass(frozen=True)
class VcaGanDecode:
    """The loader's `decode`: `video` uint8 [T, H, W], `sound` float32 [4 T, 80 + 321], `waveform`,
    `mirror`, and the square's corner, `erase_x` and `erase_y`."""

    view: View
    settings: VcaGanView

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        example = dict(self.view.decode(sample, row))
        corner = row.random("erase").integers(LEAST_CORNER, MOST_CORNER + 1, 2)
        side = example["video"].shape[1]  # type: ignore[union-attr]
        scaled = np.rint(corner * side / CODE_PX).astype(np.int64)
        return {
            **example,
            **drawn_look(row, self.settings.mirror, 0.0),
            "erase_x": int(scaled[0]) if self.settings.erase else side,
            "erase_y": int(scaled[1]) if self.settings.erase else side,
        }
