"""What the waveform GAN is fed of a sample: a window of pictures and sound, mirrored or not."""

from __future__ import annotations

from dataclasses import dataclass

from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.views import View
from training.harness.look import drawn_look
from training.models.waveform_gan.config import GanView


@dataclass(frozen=True)
class GanDecode:
    """The loader's `decode`: `video` uint8 [T, H, W, 3], `waveform` int16 [640 T], at 50 kHz also
    `wide` float32 [2000 T], and whether the pictures are to be mirrored."""

    view: View
    settings: GanView

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        example = dict(self.view.decode(sample, row))
        return {**example, **drawn_look(row, self.settings.mirror, 0.0)}
