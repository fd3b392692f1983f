"""What Lip2Speech is fed of a sample: lips, one face, the mel, and what GE2E hears of the sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.sound_features import lip2speech_mel
from training.data.views import View
from training.data.voice_mel import mel_of_speech
from training.harness.data import Selected
from training.harness.look import drawn_look
from training.models.lip2speech.config import Lip2SpeechView

FULL_SCALE = 32768
SCALE_CLIPS = 256
"""Clips whose sound sets the scale of the mel bands."""


@dataclass(frozen=True)
class Lip2SpeechDecode:
    """The loader's `decode`: `video` uint8 [N, h, w, 3] of lips, `face` uint8 [H, W, 3], `sound`
    float32 [T, 80], `waveform` int16 [640 N], `voice` float32 [C, 40] where it is asked for, the
    look, and `speaker`, -1 where it is none of those that are learnt from."""

    view: View
    lips: View
    face: View
    settings: Lip2SpeechView
    speakers: Mapping[str, int]
    has_voice: bool

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        example = dict(self.view.decode(sample, row))
        frames = np.asarray(example["video"])
        place = 0
        if self.settings.face == "random":
            place = int(row.random("face").integers(len(frames)))
        example["video"] = self.lips.seen(frames)
        example["face"] = self.face.seen(frames[place : place + 1])[0]
        if self.has_voice:
            example["voice"] = mel_of_speech(np.asarray(example["waveform"]) / FULL_SCALE)
        example["speaker"] = self.speakers.get(sample.key, -1)
        return {**example, **drawn_look(row, self.settings.mirror, self.settings.brightness)}


def scale_of(parts: Sequence[Selected]) -> dict[str, list[float]]:
    """Mean and deviation of each mel band over the first clips of each part, float [80] each.

    Losses of the paper's variant are in this scale (inferred: its own is not given, and a log power
    of -11.5 is far from what a layer says at first)."""
    columns = np.concatenate(
        [
            lip2speech_mel(part[number].sound)
            for part in parts
            for number in range(min(len(part), SCALE_CLIPS // len(parts)))
        ]
    ).astype(np.float64)
    deviation = np.sqrt(np.maximum(columns.var(0), 1e-4))
    return {
        "mean": [float(x) for x in columns.mean(0)],
        "deviation": [float(x) for x in deviation],
    }
