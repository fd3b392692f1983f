"""The two-tower model in training: towers first, then what follows them with the towers frozen.

Legend as in `network.py`; a row of a batch is W = T + 8 frames, of which T are central ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manifests.shards import ShardSample
from training.data.by_eyes import ByEyes
from training.data.collate import Example
from training.data.loader import Batch
from training.data.mixture import Row
from training.data.sound_features import EPHRAT_BANDS
from training.harness.chance import normal
from training.harness.data import Parts, Selected, speakers_of
from training.harness.look import tensor
from training.harness.system import Criterion, Facts, Round, System
from training.layers.clips_by_eyes import clips_of
from training.layers.sequences import COLUMNS_PER_FRAME
from training.losses.across import mean_of
from training.models.two_tower.config import TwoTowerConfig
from training.models.two_tower.network import TwoTower

MEAN_CLIPS = 64
"""Clips whose brightness is the pictures' mean."""


def facts_of(parts: Parts, config: TwoTowerConfig) -> Facts:
    """The speakers, and the pixels' mean, which is subtracted (5); one number (inferred, as in the
    authors' Vid2Speech), in 0..1."""
    return {
        "speakers": sorted(set(speakers_of(parts.learnt).values())),
        "pixel_mean": pixel_mean(parts.learnt, config.view.by_eyes(config.shape)),
    }


def pixel_mean(parts: Sequence[Selected], view: ByEyes) -> float:
    """Over a window of the first clips of each part."""
    still = replace(view, has_flow=False, sound=None, cache=None)
    found = [
        np.asarray(still.decode(part[number], Row(0, 0, 0, 0, 0, 0))["video"]).mean()
        for part in parts
        for number in range(min(len(part), MEAN_CLIPS // len(parts)))
    ]
    return float(np.mean(found)) / 255


@dataclass(frozen=True)
class TwoTowerDecode:
    """The loader's `decode`."""

    by_eyes: ByEyes

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        return self.by_eyes.decode(sample, row)


def decode_of(parts: Parts, config: TwoTowerConfig, facts: Facts) -> TwoTowerDecode:
    """What the loader makes of a sample."""
    return TwoTowerDecode(config.view.by_eyes(config.shape))


@dataclass(frozen=True)
class Seen:
    """What the network says of B rows, and the truth."""

    mel: Tensor
    """[B, n, 4, M]."""
    true_mel: Tensor
    linear: Tensor | None
    """[B, 4 T, F]; None while the towers are trained."""
    true_linear: Tensor


class TwoTowerSystem(System):
    """One player, whose convolutions stop at step `tower_steps`."""

    network: TwoTower

    def __init__(self, config: TwoTowerConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.config = config
        self.network = TwoTower(config.shape)
        self.criterion = Criterion("loss", False)

    @property
    def is_frozen(self) -> bool:
        """The convolutions are as they are, and what follows is trained."""
        return self.config.shape.post_net and self.step >= self.config.tower_steps

    def rounds(self, batch: Batch) -> Iterator[Round]:
        for tower in self.network.towers:
            tower.requires_grad_(not self.is_frozen)
            if self.is_frozen:
                tower.eval()
        if self.is_frozen:
            # Batch norms keep what they have, the decoder's too: frozen towers tell of a quick
            # movement in figures a hundred times as large, and one such frame would be the
            # statistics of its whole batch (inferred; losses jumped tenfold without).
            self.network.decoder.first_norm.eval()
            self.network.decoder.second_norm.eval()
        if self.network.post_net is not None:
            self.network.post_net.requires_grad_(self.is_frozen)
        seen = self._seen(self.network, batch, None if self.is_frozen else self._drawn(batch))
        losses = {"mel": mean_of((seen.mel - seen.true_mel).square())}
        if seen.linear is not None:
            losses["linear"] = mean_of((seen.linear - seen.true_linear).square())
        yield Round("network", sum(losses.values(), torch.zeros(())), losses)

    def rate_factor(self, player: str) -> float:
        """Halved so many times, evenly, in each part of the training."""
        first, end = next(
            (part for part in self.config.parts if self.step < part[1]), self.config.parts[-1]
        )
        done = min(1.0, (self.step - first) / max(1, end - first))
        return 0.5 ** min(self.config.halvings, int(done * (self.config.halvings + 1)))

    def _drawn(self, batch: Batch) -> Tensor:
        """Central frames that a row teaches with, int [B, n] in 0..T-1, drawn with the row."""
        length = self.config.view.num_frames
        drawn = normal(self.recipe.seed, "frames", tensor(batch["position"]), (length,))
        return drawn.argsort(1)[:, : self.config.view.frames_per_clip]

    def _seen(self, network: TwoTower, batch: Batch, chosen: Tensor | None) -> Seen:
        """Of `chosen` frames the mel alone, else of all T both spectrograms."""
        shape, length = self.config.shape, self.config.view.num_frames
        level = tensor(batch["video"])
        rows, width = level.shape[:2]
        frames = chosen
        if frames is None:
            frames = torch.arange(length, device=level.device).expand(rows, length)
        starts = width * torch.arange(rows, device=level.device)[:, None]
        centres = (starts + shape.margin + frames).flatten()
        flow = tensor(batch["flow"]).flatten(0, 1) if shape.flow else None
        clips, fields = clips_of(
            level.flatten(0, 1),
            flow,
            tensor(batch["back"]).flatten(0, 1),
            centres,
            shape.context_frames,
        )
        with torch.set_grad_enabled(torch.is_grad_enabled() and chosen is not None):
            latent = network.encode(clips / 255 - self.facts["pixel_mean"], fields)
        mel = network.decoder(latent).unflatten(0, frames.shape)
        edge = COLUMNS_PER_FRAME * shape.margin
        truth = tensor(batch["sound"])[:, edge : edge + COLUMNS_PER_FRAME * length]
        by_frame = truth.unflatten(1, (length, COLUMNS_PER_FRAME))
        true_mel = by_frame[torch.arange(rows, device=level.device)[:, None], frames]
        linear = None
        if chosen is None and network.post_net is not None:
            linear = network.linear(mel.flatten(1, 2))
        return Seen(mel, true_mel[..., :EPHRAT_BANDS], linear, truth[..., EPHRAT_BANDS:])

    # -- judging --------------------------------------------------------------------------------

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Of a window of each clip: both errors, and `loss`, their sum. Until it has been trained
        the post-net counts as silence."""
        assert isinstance(network, TwoTower)
        seen = self._seen(network, batch, None)
        mel = (seen.mel - seen.true_mel).square().flatten(1).mean(1)
        rows = [{"mel": float(value)} for value in mel]
        if not self.config.shape.post_net:
            return [{**row, "loss": row["mel"]} for row in rows]
        is_trained = seen.linear is not None and self.step > self.config.tower_steps
        guess = seen.linear if is_trained and seen.linear is not None else 0.0
        linear = (guess - seen.true_linear).square().flatten(1).mean(1)
        return [
            {**row, "linear": float(value), "loss": row["mel"] + float(value)}
            for row, value in zip(rows, linear, strict=True)
        ]

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """The first row: its spectrograms above the true ones."""
        assert isinstance(network, TwoTower)
        seen = self._seen(network, batch, None)
        pairs = {"mel": (seen.mel.flatten(1, 2), seen.true_mel.flatten(1, 2))}
        if seen.linear is not None:
            pairs["linear"] = seen.linear, seen.true_linear
        return {
            f"{name}_above_the_truth": pair_picture(*(x[0].float().cpu().numpy() for x in pair))
            for name, pair in pairs.items()
        }


def pair_picture(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Two [L, M] in 0..1 -> uint8 [2 M, L, 3], low bands at the bottom of each half."""
    both = np.concatenate([above.T[::-1], below.T[::-1]])
    grey = np.clip(both * 255, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)
