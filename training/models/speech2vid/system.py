"""Speech2Vid in training: the absolute error of the middle frame of each 0.35 s of sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manifests.media.sound import shifted
from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.every_fifth import EveryFifth
from training.data.loader import Batch
from training.data.mixture import Row
from training.data.sound_features import speech2vid_mfcc
from training.harness.data import Parts
from training.harness.look import tensor
from training.harness.system import Criterion, Facts, Round, System
from training.losses.across import mean_of
from training.models.speech2vid.config import Speech2VidConfig
from training.models.speech2vid.network import Speech2Vid, as_channels, truth_of

MEASURED_CLIPS = 128
"""Clips that set the cepstra's scale."""
SHOWN = 8


def facts_of(parts: Parts, config: Speech2VidConfig) -> Facts:
    """Mean and deviation of each of the 12 cepstra (inferred; the demo gives them as they are, to
    a network that begins with a batch norm)."""
    view = config.view.view
    columns = []
    for part in parts.learnt:
        for number in range(min(len(part), max(1, MEASURED_CLIPS // len(parts.learnt)))):
            sample = part[number]
            heard = speech2vid_mfcc(shifted(sample.sound, view.lag_of(sample)))
            columns.append(heard[:, :, heard.shape[2] // 2])
    whole = np.concatenate(columns).astype(np.float64)
    return {
        "mean": [float(x) for x in whole.mean(0)],
        "deviation": [float(x) for x in np.maximum(whole.std(0), 1e-3)],
    }


@dataclass(frozen=True)
class Speech2VidDecode:
    """The loader's `decode`."""

    samples: EveryFifth

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        return self.samples.decode(sample, row)


def decode_of(parts: Parts, config: Speech2VidConfig, facts: Facts) -> Speech2VidDecode:
    """What the loader makes of a sample."""
    return Speech2VidDecode(config.view)


class Speech2VidSystem(System):
    """One player and equation 1."""

    network: Speech2Vid
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: Speech2VidConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.config = config
        # Pixels' channels side by side: a quarter of a step's time less on a processor.
        self.network = Speech2Vid(config.shape).to(memory_format=torch.channels_last)
        self.criterion = Criterion("l1", False)
        for name in ("mean", "deviation"):
            self.register_buffer(name, torch.tensor(facts[name])[:, None], persistent=False)

    def rounds(self, batch: Batch) -> Iterator[Round]:
        made, truth = self._pair(self.network, batch)
        l1 = mean_of((made - truth).abs())
        values = truth[0].numel() if self.config.reduction == "sum" else 1
        yield Round("network", l1 * values, {"l1": l1})

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Of a clip's samples: the mean absolute error of values in 0..1, and `still`, that of the
        first still in the picture's place."""
        assert isinstance(network, Speech2Vid)
        made, truth = self._pair(network, batch)
        still = truth_of(tensor(batch["stills"])[:, :, 0].flatten(0, 1))
        clips = len(batch["key"])
        gaps = (
            (x - truth).abs().unflatten(0, (clips, -1)).flatten(1).mean(1) for x in (made, still)
        )
        return [{"l1": float(a), "still": float(b)} for a, b in zip(*gaps, strict=True)]

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """A strip: stills, what was made of them, and the truth."""
        assert isinstance(network, Speech2Vid)
        made, truth = self._pair(network, batch)
        still = truth_of(tensor(batch["stills"])[:, :, 0].flatten(0, 1))
        rows = [torch.cat([*x[:SHOWN]], 2) for x in (still, made, truth)]
        return {"strip": (torch.cat(rows, 1) * 255).byte().movedim(0, -1).cpu().numpy()}

    def _pair(self, network: Speech2Vid, batch: Batch) -> tuple[Tensor, Tensor]:
        """Made and true pictures, float32 [B n, 3, 109, 109]: samples of clips, clip by clip."""
        cepstra = (tensor(batch["sound"]).flatten(0, 1) - self.mean) / self.deviation
        stills = as_channels(tensor(batch["stills"]).flatten(0, 1))
        return network(cepstra, stills), truth_of(tensor(batch["video"]).flatten(0, 1))
