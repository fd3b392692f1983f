"""What the speaker identity module is fed of a sample: one face, and the mel of a while of speech.

A face and a voice are a person's whenever they are seen and heard: the two are drawn each for
itself, and no lag matters (inferred; 4.2 takes the frame from the window).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME
from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.views import View
from training.data.voice_mel import mel_of_speech
from training.harness.look import drawn_look
from training.models.speaker_identity.config import IdentityView

FULL_SCALE = 32768


@dataclass(frozen=True)
class IdentityDecode:
    """The loader's `decode`: `face` uint8 [H, W, 3], `voice` float32 [C, 40], `speaker` -1 where
    it is none of those that are learnt from, and whether the face is to be mirrored."""

    view: View
    settings: IdentityView
    speakers: Mapping[str, int]

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        frames = int(sample.facts["num_frames"])
        frame = int(row.random("frame").integers(frames))
        return {
            "face": self.view.pictures(sample, frame, 1)[0],
            "voice": mel_of_speech(self._window(sample, frames, row)),
            "speaker": self.speakers.get(sample.key, -1),
            "mirror": drawn_look(row, self.settings.mirror, 0.0)["mirror"],
        }

    def _window(self, sample: ShardSample, frames: int, row: Row) -> np.ndarray:
        """Float [N] in +-1."""
        draw = row.random("window")
        longest = min(self.settings.max_frames, frames)
        length = int(draw.integers(min(self.settings.min_frames, longest), longest + 1))
        first = int(draw.integers(frames - length + 1))
        window = slice(first * SAMPLES_PER_FRAME, (first + length) * SAMPLES_PER_FRAME)
        return sample.sound[window] / FULL_SCALE
