"""Lip2AudSpec in training: the autoencoder first, then the network that tells its codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manifests.shards import ShardSample
from training.data.auditory import BANDS
from training.data.collate import Example
from training.data.loader import Batch
from training.data.mixture import Row
from training.data.sound_features import COLUMNS_PER_FRAME
from training.data.views import View
from training.harness.chance import normal
from training.harness.data import Parts
from training.harness.look import tensor
from training.harness.system import Criterion, Facts, Round, System
from training.losses.across import mean_of
from training.models.lip2audspec.config import CONTEXT_FRAMES, Lip2AudSpecConfig
from training.models.lip2audspec.network import COLUMNS, PACE, Coder, Eyes, Lip2AudSpec, windows_in
from training.models.lip2audspec.objective import corr2d, corr2d_and_squares, sizes

GRAIN = 0.01
PLAIN, MIRRORED, GRAINY = range(3)


def facts_of(parts: Parts, config: Lip2AudSpecConfig) -> Facts:
    """Nothing is measured beforehand."""
    return {}


@dataclass(frozen=True)
class Lip2AudSpecDecode:
    """The loader's `decode`: what the view gives, and `look`, one of three. The first `unseen_rows`
    of a training, from which the autoencoder learns, have pictures of one pixel: decoding them was
    nearly all that its steps cost."""

    view: View
    varied: bool
    unseen_rows: int = 0

    def __call__(self, sample: ShardSample, row: Row) -> Example:
        drawn = int(row.random("look").integers(3))
        pictures = None
        if row.position < self.unseen_rows and not row.is_judged:
            pictures = np.zeros((int(sample.facts["num_frames"]), 1, 1), np.uint8)
        seen = self.view.decode(sample, row, pictures=pictures)
        return {**seen, "look": drawn if self.varied else PLAIN}


def decode_of(parts: Parts, config: Lip2AudSpecConfig, facts: Facts) -> Lip2AudSpecDecode:
    """What the loader makes of a sample."""
    unseen_rows = config.coder_steps * config.recipe.batch
    return Lip2AudSpecDecode(config.view, config.varied, unseen_rows)


class Lip2AudSpecSystem(System):
    """Legend as in `network.py`; a row of a batch has n windows."""

    network: Lip2AudSpec

    def __init__(self, config: Lip2AudSpecConfig, facts: Facts) -> None:
        super().__init__(config, facts)
        self.config = config
        self.network = Lip2AudSpec(config.shape)
        self.criterion = Criterion("loss", False)

    def players(self) -> dict[str, nn.Module]:
        return {"coder": self.network.coder, "eyes": self.network.eyes}

    @property
    def is_learning_to_code(self) -> bool:
        """Whether the autoencoder is what this step trains."""
        return self.step < self.config.coder_steps

    # -- a step ---------------------------------------------------------------------------------

    def rounds(self, batch: Batch) -> Iterator[Round]:
        truth, weights = self._columns(batch), self.config.loss
        coder, eyes = self.network.coder, self.network.eyes
        if self.is_learning_to_code:
            columns = truth.flatten(0, 1)
            guess = coder(columns)
            _remember(coder, columns, guess)
            loss = corr2d_and_squares(columns, guess)
            cost = sizes([coder.narrow.weight], weights.code_l1, weights.code_l2)
            yield Round("coder", loss + cost, {"coder": loss, "coder_weights": cost})
            return
        coder.eval()
        with torch.no_grad():
            codes = _codes(coder, truth)
        guess = eyes(self._windows(batch).flatten(0, 1))
        _remember(eyes, codes, guess)
        loss = corr2d_and_squares(codes, guess)
        kernels = [m.weight for m in eyes.convolutions if isinstance(m, nn.Conv3d)]
        cost = sizes(kernels, 0.0, weights.convolutions_l2)
        yield Round("eyes", loss + cost, {"loss": loss, "weights": cost})

    def _columns(self, batch: Batch) -> Tensor:
        """[B, 20 n, M] of all but the first two frames."""
        return tensor(batch["sound"])[:, CONTEXT_FRAMES * COLUMNS_PER_FRAME :]

    def _windows(self, batch: Batch) -> Tensor:
        """[B, n, 3, T, H, W], a third of the rows mirrored and a third with noise on all of it."""
        windows = windows_in(tensor(batch["video"]))
        look = tensor(batch["look"]).reshape(-1, *[1] * (windows.dim() - 1))
        windows = torch.where(look == MIRRORED, windows.flip(-1), windows)
        if bool((look == GRAINY).any()):
            positions = tensor(batch["position"])
            grain = normal(self.recipe.seed, "grain", positions, tuple(windows.shape[1:]))
            windows = torch.where(look == GRAINY, windows + GRAIN * grain, windows)
        return windows

    # -- judging --------------------------------------------------------------------------------

    def judge(self, network: nn.Module, batch: Batch) -> list[dict[str, float]]:
        """Of each clip's windows the loss of the codes, by which the code chooses, and Corr2D of
        the auditory spectrogram; while the autoencoder is trained, its own Corr2D alone."""
        assert isinstance(network, Lip2AudSpec)
        truth = self._columns(batch)
        if self.is_learning_to_code:
            again = network.coder.columns(network.coder.code(truth.flatten(0, 1)))
            pairs = zip(truth, again.reshape(truth.shape), strict=True)
            return [{"coder_corr2d": _alone(corr2d, a, b)} for a, b in pairs]
        codes = _codes(network.coder, truth).unflatten(0, (len(truth), -1))
        guess = network.eyes(windows_in(tensor(batch["video"])).flatten(0, 1))
        told = network.columns(tensor(batch["video"]))
        rows = []
        for i, found in enumerate(guess.unflatten(0, (len(truth), -1))):
            rows.append(
                {
                    "loss": _alone(corr2d_and_squares, codes[i], found),
                    "corr2d": _alone(corr2d, truth[i], told[i]),
                }
            )
        return rows

    def show(self, network: nn.Module, batch: Batch) -> dict[str, Any]:
        """The first clip's auditory spectrogram above the true one."""
        assert isinstance(network, Lip2AudSpec)
        told = network.columns(tensor(batch["video"])[:1])[0]
        both = torch.cat([told.T.flip(0), self._columns(batch)[0].T.flip(0)]).float().cpu().numpy()
        grey = np.clip(both / max(float(both.max()), 1e-6) * 255, 0, 255).astype(np.uint8)
        return {"spectrum_above_the_truth": np.repeat(grey[..., None], 3, 2)}


def _codes(coder: Coder, columns: Tensor) -> Tensor:
    """Columns [B, 20 n, M] -> what the eyes are to say, [B n, D, C]."""
    found = coder.code(columns.reshape(-1, BANDS))
    return found.reshape(-1, COLUMNS, found.shape[1]).transpose(1, 2)


def _remember(network: Coder | Eyes, truth: Tensor, guess: Tensor) -> None:
    """The running mean of what is missing everywhere."""
    with torch.no_grad():
        network.lacks.lerp_(mean_of(truth) - mean_of(guess), PACE)


def _alone(measure: Any, truth: Tensor, guess: Tensor) -> float:
    """A figure of one clip, which this rank judges without the others."""
    one, other = truth.float() - truth.float().mean(), guess.float() - guess.float().mean()
    power = one.square().sum() * other.square().sum()
    alike = (one * other).sum() / power.clamp_min(1e-12).sqrt()
    return float(alike if measure is corr2d else (one - other).square().mean() - alike)
