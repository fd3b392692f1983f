"""Mel-synth: predicted frames give way to the training clips' nearest ones (Ephrat 2017, 4.3).

A unit is one frame of video, its four mel columns (inferred: 3.2's "sound representation vector" is
a frame's). Found by L2 distance of mels, replaced by the linear columns of the same moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.data.mixture import Row
from training.data.sound_features import EPHRAT_BANDS, EPHRAT_BINS, ephrat_unscaled
from training.data.views import View
from training.harness.data import Selected, speakers_of
from training.layers.sequences import COLUMNS_PER_FRAME

REFINED = 8
"""Nearest by the fast formula, whose rounding is checked by the exact one."""


@dataclass(frozen=True)
class Exemplars:
    """E frames of 6.4 kB: a speaker of GRID, 50 minutes, takes 480 MB."""

    mel: np.ndarray
    """float32 [E, 4 x 80], in 0..1."""
    linear: np.ndarray
    """float32 [E, 4, 321], in 0..1."""
    speakers: np.ndarray
    """Names [E]."""

    def nearest(self, mel: np.ndarray, speaker: str | None = None) -> np.ndarray:
        """Predicted columns [4 N, 80] -> magnitudes float64 [4 N, 321] of the nearest exemplars, of
        one speaker if named; of two as near, the first. Raises ValueError without any."""
        taken = np.arange(len(self.mel))
        if speaker is not None:
            taken = taken[self.speakers == speaker]
        if not len(taken):
            raise ValueError(f"there are no exemplars{f' of {speaker}' if speaker else ''}")
        bank = self.mel[taken]
        asked = np.asarray(mel, np.float32).reshape(-1, self.mel.shape[1])
        squares = np.square(bank).sum(1)
        found = [taken[_nearest(bank, squares, one)] for one in asked]
        return ephrat_unscaled(self.linear[found]).reshape(-1, EPHRAT_BINS)


def _nearest(bank: np.ndarray, squares: np.ndarray, asked: np.ndarray) -> int:
    rough = squares - 2 * (bank @ asked)
    few = np.sort(np.argpartition(rough, min(REFINED, len(rough)) - 1)[:REFINED])
    exact = np.square(bank[few].astype(np.float64) - asked).sum(1)
    return int(few[int(exact.argmin())])


def exemplars_of(parts: Sequence[Selected], pairing: Literal["raw", "corrected"]) -> Exemplars:
    """Every frame of every clip."""
    view, voices = View("ephrat", None, True, "ephrat", None, pairing), speakers_of(parts)
    mels, linears, names = [], [], []
    for part in parts:
        for number in range(len(part)):
            sample = part[number]
            frames = int(sample.facts["num_frames"])
            unseen = np.zeros((frames, 1, 1), np.uint8)  # no picture is decoded
            row = Row(0, 0, 0, 0, 0, number)
            sound = np.asarray(view.decode(sample, row, pictures=unseen)["sound"])
            by_frame = sound.reshape(frames, COLUMNS_PER_FRAME, -1)
            mels.append(by_frame[..., :EPHRAT_BANDS].reshape(frames, -1).copy())
            linears.append(by_frame[..., EPHRAT_BANDS:].copy())
            names += [voices[sample.key]] * frames
    return Exemplars(np.concatenate(mels), np.concatenate(linears), np.array(names))
