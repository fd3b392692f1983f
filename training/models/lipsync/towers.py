"""Train the landmark synchrony model (`stages/networks/lipsync.py`): the `System` "lipsync".

The loss is contrastive over lags and over sounds: of all lags of its own sound the true one
must win, and so it must against all lags of the other sounds of the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from manifests.records import col
from stages.networks import lipsync_features as feat
from stages.networks.lipsync import NUM_PIXEL_FEATURES, LipSync, Towers
from training.models.lipsync.all_pairs import all_pairs
from training.models.lipsync.examples import Example, draw, prepare
from training.models.lipsync.kin import Kin, by_chance, kin_of, with_sentences
from training.models.lipsync.system import Recipe, Say


@dataclass(frozen=True)
class LipSyncRecipe(Recipe):
    """How the towers are trained."""

    towers: int = col("pairs of towers that vote", default=3)
    steps: int = col("optimizer steps for each pair", default=380)
    lag_steps: int = col("optimizer steps of towers that only measure own lags", default=300)
    batch: int = col("windows a step", default=24)
    frames: int = col("window", "frame", default=70)
    search_ms: float = col("lags that compete, plus and minus", "ms", default=600.0)
    max_plant_ms: float = col("planted lags, plus and minus", "ms", default=450.0)
    learning_rate: float = col("peak of the one-cycle schedule", default=2e-3)
    weight_decay: float = col("of AdamW", default=1e-2)
    dropout: float = col("of whole channels, in both towers", default=0.2)
    target_ms: float = col("width of the target over lags", "ms", default=15.0)
    most_frames: int = col("above which a speaker does not weigh more", "frame", default=3000)
    sentence_share: float = col(
        "share of windows that are two sentences of one speaker on purpose; 0: by chance",
        default=0.0,
    )


@dataclass(frozen=True)
class TowersSystem:
    """What `training.models.lipsync.system` asks of towers; see `System` there."""

    recipe: LipSyncRecipe
    num_evidence: ClassVar[int] = 20

    def load(self, path: Path) -> LipSync:
        return LipSync.load(path)

    def prepare(self, examples: Sequence[Example], random: np.random.Generator) -> None:
        prepare(examples, random)

    def hear(self, example: Example) -> None:
        """The sound as it is and no other: all that judging takes."""
        example.mels = [feat.log_mel(example.pcm)]

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
        (towers,), scale = _train_towers(
            examples, self.recipe, 1, 100 + number, self.recipe.lag_steps, lags, say
        )
        return LipSync([towers], start.lip_scale, start.pixels, scale)

    def train(
        self, start: LipSync, examples: Sequence[Example], lags: dict[str, float], say: Say
    ) -> LipSync:
        recipe = self.recipe
        towers, temperature = _train_towers(
            examples, recipe, recipe.towers, 0, recipe.steps, lags, say
        )
        return LipSync(towers, start.lip_scale, start.pixels, temperature)

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


@dataclass
class _Pair:
    """One pair of towers with what trains it."""

    towers: Towers
    scale: torch.nn.Parameter
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

    @staticmethod
    def begin(recipe: LipSyncRecipe, seed: int, num_steps: int) -> _Pair:
        torch.manual_seed(seed)
        towers = Towers(recipe.dropout)
        scale = torch.nn.Parameter(torch.tensor(2.5))
        optimizer = torch.optim.AdamW(
            [*towers.parameters(), scale], recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, num_steps)
        return _Pair(towers.train(), scale, optimizer, schedule)

    def step(
        self,
        windows: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
        kin: Kin | None,
        recipe: LipSyncRecipe,
    ) -> float:
        """One step on windows as `_batch` stacks them; the loss."""
        seen, heard, exists, planted = windows
        steps = round(recipe.search_ms / 10)
        # Half precision costs a third less time; peaks are read in full precision.
        with torch.autocast("cpu", torch.bfloat16):
            a, b = self.towers.see(seen), self.towers.hear(heard)
        score = self.scale.exp() * all_pairs(a.float(), b.float(), exists, steps)
        loss = contrastive_loss(score, planted, steps, recipe.target_ms / 10, kin)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.towers.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return loss.item()


def _train_towers(
    examples: Sequence[Example],
    recipe: LipSyncRecipe,
    count: int,
    number: int,
    num_steps: int,
    lags: dict[str, float],
    say: Say,
) -> tuple[list[Towers], float]:
    """So many pairs of towers that see the same windows from different beginnings, and their
    mean temperature."""
    random = np.random.default_rng([recipe.seed, number])
    pairs = [_Pair.begin(recipe, 1000 * recipe.seed + number + i, num_steps) for i in range(count)]
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.speaker, []).append(example)
    for step in range(num_steps):
        windows, kin = _batch(groups, recipe, lags, random)
        losses = [pair.step(windows, kin, recipe) for pair in pairs]
        if (step + 1) % 100 == 0:
            say(f"step {step + 1} of {num_steps}, loss {np.mean(losses):.2f}")
    temperatures = [pair.scale.exp().item() for pair in pairs]
    return [pair.towers.eval() for pair in pairs], float(np.mean(temperatures))


def _batch(
    groups: dict[str, list[Example]],
    recipe: LipSyncRecipe,
    lags: dict[str, float],
    random: np.random.Generator,
) -> tuple[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], Kin | None]:
    """Windows of `recipe.batch` clips, and what they have in common where that counts."""
    share, most = recipe.sentence_share, recipe.most_frames
    clips: Iterable[Example] = (
        with_sentences(groups, recipe.batch, share, most, random)
        if share
        else by_chance(groups, recipe.batch, most, random)
    )
    steps, plant = round(recipe.search_ms / 10), recipe.max_plant_ms / 10
    chosen, windows = [], []
    for example in clips:
        chosen.append(example)
        windows.append(draw(example, recipe.frames, steps, plant, lags[example.name], random))
    seen, heard, exists, planted = (np.stack(x) for x in zip(*windows, strict=True))
    return (
        torch.from_numpy(seen).transpose(1, 2),
        torch.from_numpy(heard).transpose(1, 2),
        torch.from_numpy(exists),
        torch.from_numpy(planted).float(),
    ), kin_of(chosen) if share else None


def contrastive_loss(
    score: torch.Tensor, planted: torch.Tensor, steps: int, width: float, kin: Kin | None = None
) -> torch.Tensor:
    """`score` [B, B, 2 steps + 1] log-odds, `planted` lags [B] in steps -> the mean loss.

    Cross entropy against a bell around the planted lag: over the lags of the own sound, and
    over all lags of all sounds. With `kin` the sound of the same clip is no foreign one, and
    the own sound must also win against other sentences of the speaker alone.
    """
    axis = torch.arange(-steps, steps + 1)
    target = torch.softmax(-0.5 * ((axis[None] - planted[:, None]) / width) ** 2, 1)
    own = score.diagonal(dim1=0, dim2=1).T
    true = (target * own).sum(1)
    among_lags = -(target * F.log_softmax(own, 1)).sum(1)
    if kin is None:
        return (among_lags + torch.logsumexp(score.flatten(1), 1) - true).mean()

    def among(counted: torch.Tensor) -> torch.Tensor:
        kept = score.masked_fill(~counted[:, :, None], -torch.inf)
        return torch.logsumexp(kept.flatten(1), 1) - true

    itself = torch.eye(len(score), dtype=torch.bool)
    sentences = among(kin.other_sentence | itself) * kin.other_sentence.any(1)
    return (among_lags + among(~kin.same_clip) + sentences).mean()
