"""Train the landmark synchrony model (`stages/networks/lipsync.py`): the `System` "lipsync".

The loss is contrastive over lags and over sounds: of all lags of its own sound the true one
must win, and so it must against all lags of the other sounds of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from manifests.records import col
from stages.networks import lipsync_features as feat
from stages.networks.lipsync import NUM_PIXEL_FEATURES, LipSync, Towers, lag_correlation
from training.models.lipsync.examples import Example, draw, prepare
from training.models.lipsync.system import Recipe, Say


@dataclass(frozen=True)
class LipSyncRecipe(Recipe):
    """How the towers are trained."""

    towers: int = col("pairs of towers that vote", default=4)
    steps: int = col("optimizer steps for each pair", default=550)
    lag_steps: int = col("optimizer steps of towers that only measure own lags", default=200)
    batch: int = col("windows a step", default=24)
    frames: int = col("window", "frame", default=70)
    search_ms: float = col("lags that compete, plus and minus", "ms", default=600.0)
    max_plant_ms: float = col("planted lags, plus and minus", "ms", default=450.0)
    learning_rate: float = col("peak of the one-cycle schedule", default=2e-3)
    weight_decay: float = col("of AdamW", default=1e-2)
    dropout: float = col("in both towers", default=0.25)
    target_ms: float = col("width of the target over lags", "ms", default=15.0)


@dataclass(frozen=True)
class TowersSystem:
    """What `training.models.lipsync.system` asks of towers; see `System` there."""

    recipe: LipSyncRecipe
    num_evidence: ClassVar[int] = 8

    def prepare(self, examples: Sequence[Example], random: np.random.Generator) -> None:
        prepare(examples, random)

    def begin(self, examples: Sequence[Example]) -> LipSync:
        return LipSync([], _lip_scale(examples), _pixels(examples), 0.0)

    def featurize(self, model: LipSync, examples: Sequence[Example]) -> None:
        for example in examples:
            example.lips = feat.lip_shape(example.landmarks) / model.lip_scale
            turned = example.mouths[:, :, ::-1]
            example.pixels = np.stack(
                [feat.mouth_features(m) @ model.pixels for m in (example.mouths, turned)]
            )

    def judge(
        self,
        start: LipSync,
        examples: Sequence[Example],
        lags: dict[str, float],
        number: int,
        say: Say,
    ) -> LipSync:
        """One pair of towers with fewer steps."""
        towers, scale = _train_towers(
            examples, self.recipe, 100 + number, self.recipe.lag_steps, lags, say
        )
        return LipSync([towers], start.lip_scale, start.pixels, scale)

    def train(
        self, start: LipSync, examples: Sequence[Example], lags: dict[str, float], say: Say
    ) -> LipSync:
        pairs = []
        for number in range(self.recipe.towers):
            say(f"towers {number + 1} of {self.recipe.towers}")
            pairs.append(_train_towers(examples, self.recipe, number, self.recipe.steps, lags, say))
        return LipSync(
            [towers for towers, _ in pairs],
            start.lip_scale,
            start.pixels,
            float(np.mean([temperature for _, temperature in pairs])),
        )

    def curve(self, model: LipSync, example: Example, search_ms: float = 700.0) -> np.ndarray:
        seen = model.see(np.concatenate([feat.fast_part(example.lips), example.pixels[0]], 1))
        heard = model.hear(example.mels[0])
        return model.curves(seen, heard, np.ones(len(example.mels[0]), bool), 0, search_ms)


def _lip_scale(examples: Sequence[Example]) -> np.ndarray:
    return np.concatenate([feat.lip_features(e.landmarks) for e in examples]).std(0) + 1e-6


def _pixels(examples: Sequence[Example]) -> np.ndarray:
    """Principal components of pictures and their mirror images, so that each is even or odd."""
    total = np.zeros((feat.MOUTH_SHAPE[0] * feat.MOUTH_SHAPE[1],) * 2)
    for example in examples:
        for mouths in (example.mouths, example.mouths[:, :, ::-1]):
            light = feat.mouth_features(mouths)[::2].astype(np.float64)
            total += light.T @ light / max(len(light), 1)
    values, vectors = np.linalg.eigh(total / (2 * len(examples)))
    first = slice(-1, -1 - NUM_PIXEL_FEATURES, -1)
    return (vectors[:, first] / np.sqrt(values[first])).astype(np.float32)


def _train_towers(
    examples: Sequence[Example],
    recipe: LipSyncRecipe,
    number: int,
    num_steps: int,
    lags: dict[str, float],
    say: Say,
) -> tuple[Towers, float]:
    random = np.random.default_rng([recipe.seed, number])
    torch.manual_seed(1000 * recipe.seed + number)
    towers, scale = Towers(recipe.dropout), torch.nn.Parameter(torch.tensor(2.5))
    optimizer = torch.optim.AdamW(
        [*towers.parameters(), scale], recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, num_steps)
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.speaker, []).append(example)
    people = sorted(groups)
    # Between one vote a speaker and one a second: many speakers matter more than much of one.
    weight = np.array([sum(map(len, groups[p])) ** 0.6 for p in people])
    lengths = {p: np.array([len(e) for e in groups[p]], float) for p in people}
    steps = round(recipe.search_ms / 10)
    for step in range(num_steps):
        towers.train()
        windows = []
        # Two windows of each: the hardest foreign sound is the same voice saying something else.
        for person in np.repeat(
            random.choice(people, recipe.batch // 2, p=weight / weight.sum()), 2
        ):
            chosen = random.choice(len(groups[person]), p=lengths[person] / lengths[person].sum())
            windows.append(
                draw(
                    groups[person][chosen],
                    recipe.frames,
                    steps,
                    recipe.max_plant_ms / 10,
                    lags[person],
                    random,
                )
            )
        seen, heard, exists, planted = (np.stack(x) for x in zip(*windows, strict=True))
        score = scale.exp() * lag_correlation(
            towers.see(torch.from_numpy(seen).transpose(1, 2)),
            towers.hear(torch.from_numpy(heard).transpose(1, 2)),
            torch.from_numpy(exists),
            steps,
        )
        loss = contrastive_loss(
            score, torch.from_numpy(planted).float(), steps, recipe.target_ms / 10
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(towers.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            say(f"step {step + 1} of {num_steps}, loss {loss.item():.2f}")
    return towers.eval(), scale.exp().item()


def contrastive_loss(
    score: torch.Tensor, planted: torch.Tensor, steps: int, width: float
) -> torch.Tensor:
    """`score` [B, B, 2 steps + 1] log-odds, `planted` lags [B] in steps -> the mean loss.

    Cross entropy against a bell around the planted lag: over the lags of the own sound, and
    over all lags of all sounds.
    """
    axis = torch.arange(-steps, steps + 1)
    target = torch.softmax(-0.5 * ((axis[None] - planted[:, None]) / width) ** 2, 1)
    own = score.diagonal(dim1=0, dim2=1).T
    among_lags = -(target * F.log_softmax(own, 1)).sum(1)
    among_all = torch.logsumexp(score.flatten(1), 1) - (target * own).sum(1)
    return (among_lags + among_all).mean()
