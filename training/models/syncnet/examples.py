"""What SyncNet is fed of a sample: a window of pictures, and the cepstra of its sound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME
from manifests.sample_json import known
from manifests.shards import ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.sound_features import syncnet_mfcc
from training.data.views import View
from training.harness.look import drawn_look
from training.models.syncnet.config import SyncNetConfig


@dataclass(frozen=True)
class SyncNetDecode:
    """The loader's `decode`: `video` uint8 [T, side, side, 3], `sound` float32 [4 T, 13], whether
    it is to be mirrored, and its `light`.

    A sample that judges has its longer window, and the sound of `planted_frames` more on both
    sides, silent beyond the window: column 4 N belongs to its first picture.
    """

    view: View
    config: SyncNetConfig
    judging: frozenset[str]
    """Keys of the samples that judge."""

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        view = self._view(sample)
        if sample.key in self.judging:
            view = replace(view, num_frames=self.config.judging.num_frames, waveform=True)
            example = dict(view.decode(sample, row))
            more = self.config.judging.planted_frames * SAMPLES_PER_FRAME
            example["sound"] = syncnet_mfcc(np.pad(example.pop("waveform"), more))
        else:
            example = dict(view.decode(sample, row))
        return {**example, **drawn_look(row, self.config.view.mirror, self.config.view.brightness)}

    def _view(self, sample: ShardSample) -> View:
        """A sample without a measured lag, where such are wanted, is taken as it is."""
        facts = known(sample.facts)
        is_known = facts.get("video_lag_ms") is not None or facts.get("applied_lag_ms")
        if self.config.data.unmeasured and not is_known:
            return replace(self.view, pairing="raw")
        return self.view
