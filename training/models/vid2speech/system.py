"""Vid2Speech in training: the mean squared error of standardised line spectra."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.line_spectrum import line_spectrum
from training.data.loader import Batch
from training.data.mixture import Row
from training.data.views import View
from training.harness.data import Parts, speakers_of
from training.harness.look import tensor
from training.harness.system import Criterion, Facts, Round, System
from training.losses.across import mean_of
from training.models.vid2speech.config import Vid2SpeechConfig
from training.models.vid2speech.network import Vid2Speech, clips_in

MEASURED_CLIPS = 128
"""Clips that set scale and mean."""


def facts_of(parts: Parts, config: Vid2SpeechConfig) -> Facts:
    """Speakers, pixels' mean in 0..1, and mean and deviation of the 18 values."""
    values, means = [], []
    for part in parts.learnt:
        for number in range(min(len(part), MEASURED_CLIPS // len(parts.learnt))):
            sample = part[number]
            values.append(line_spectrum(sample.sound))
            pictures = config.view.decode(sample, Row(0, 0, 0, 0, 0, number))["video"]
            means.append(np.asarray(pictures).mean() / 255)
    whole = np.concatenate(values).astype(np.float64)
    return {
        "speakers": sorted(set(speakers_of(parts.learnt).values())),
        "pixel_mean": float(np.mean(means)),
        "mean": [float(x) for x in whole.mean(0)],
        "deviation": [float(x) for x in np.maximum(whole.std(0), 1e-6)],
    }


@dataclass(frozen=True)
class Vid2SpeechDecode:
    """The loader's `decode`."""

    view: View

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        return self.view.decode(sample, row)


def decode_of(parts: Parts, config: Vid2SpeechConfig, facts: Facts) -> Vid2SpeechDecode:
    """What the loader makes of a sample."""
    return Vid2SpeechDecode(config.view)


class Vid2SpeechSystem(System):
    """One network and one loss."""

    network: Vid2Speech
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: Vid2SpeechConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.config = config
        self.network = Vid2Speech(config.shape)
        self.criterion = Criterion("loss", False)
        for name in ("mean", "deviation"):
            self.register_buffer(name, torch.tensor(facts[name]), persistent=False)

    def rounds(self, batch: Batch) -> Iterator[Round]:
        guess, truth = self._pair(self.network, batch)
        loss = mean_of((guess - truth).square())
        yield Round("network", loss, {"loss": loss})

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """`loss` of each clip's window."""
        assert isinstance(network, Vid2Speech)
        guess, truth = self._pair(network, batch)
        return [{"loss": float(x)} for x in (guess - truth).square().flatten(1).mean(1)]

    def _pair(self, network: Vid2Speech, batch: Batch) -> tuple[Tensor, Tensor]:
        """Guess and truth [B, n, 18]."""
        context = self.config.shape.context_frames
        pictures = tensor(batch["video"]).float() / 255 - self.facts["pixel_mean"]
        clips = clips_in(pictures, context)
        guess = network(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        edge = context // 2
        truth = tensor(batch["sound"])[:, edge : edge + clips.shape[1]]
        return guess, (truth - self.mean) / self.deviation
