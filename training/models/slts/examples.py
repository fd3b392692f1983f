"""What SLTS is fed of a sample: a window of pictures and sound, its speaker, a planted lag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME
from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.order import key_of
from training.data.sound_features import COLUMNS_PER_FRAME, slts_mel
from training.data.views import View
from training.harness.data import Selected
from training.harness.look import drawn_look
from training.models.slts.config import SltsView

SAMPLES_PER_COLUMN = SAMPLES_PER_FRAME // COLUMNS_PER_FRAME
SCALE_CLIPS = 256
"""Clips whose sound sets the scale of the mel bands."""


@dataclass(frozen=True)
class SltsDecode:
    """The loader's `decode`."""

    view: View
    settings: SltsView
    seed: int
    speakers: Mapping[str, int]
    """Number of each key's speaker; a key that is not there has the voice of all, -1."""

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        plant = self.plant(sample.key, row)
        example = dict(self.view.decode(sample, row, plant * SAMPLES_PER_COLUMN))
        return {
            **example,
            "planted_columns": plant,
            "speaker": self.speakers.get(sample.key, -1),
            **drawn_look(row, self.settings.mirror, self.settings.brightness),
        }

    def plant(self, key: str, row: Row) -> int:
        """Columns by which the picture is made late."""
        most = self.settings.plant_columns
        if not most:
            return 0
        if self.settings.redraw_plants:
            return int(row.random("plant").integers(-most, most + 1))
        drawn = np.random.default_rng(int.from_bytes(key_of("plant", self.seed, key), "big"))
        return int(drawn.integers(-most, most + 1))


def scale_of(parts: Sequence[Selected], view: View) -> dict[str, list[float]]:
    """Mean and deviation of each mel band over the first clips of each part, float [80] each.

    Losses are in this scale (inferred: the paper's is not given; a log mel's bands differ in
    deviation, and a mean squared error would see the widest ones).
    """
    total, squares, count = np.zeros(0), np.zeros(0), 0
    for part in parts:
        for number in range(min(len(part), SCALE_CLIPS // len(parts))):
            mel = slts_mel(part[number].sound).astype(np.float64)
            total = mel.sum(0) + (total if len(total) else 0)
            squares = np.square(mel).sum(0) + (squares if len(squares) else 0)
            count += len(mel)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 1e-4))
    return {"mean": [float(x) for x in mean], "deviation": [float(x) for x in deviation]}
