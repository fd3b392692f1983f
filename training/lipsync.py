"""Train the landmark synchrony model (`stages/networks/lipsync.py`) on built corpora.

The loss is contrastive over lags and over sounds: of all lags of its own sound the true one
must win, and so it must against all lags of the other sounds of the batch. Speakers' own lags
(a camera's delay) are not known. Towers learn whatever lag they are trained with, so a speaker's
own is measured by towers that never saw it; corpora known to be synchronous set the zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np
import torch
import torch.nn.functional as F

from manifests.lag_curves import find_peak, pool
from manifests.records import col
from stages.networks import lipsync_features as feat
from stages.networks.lipsync import NUM_PIXEL_FEATURES, LipSync, Towers, lag_correlation
from training.lipsync_data import Example, draw

LAG_GROUPS, LAG_ROUNDS = 3, 2
"""Speakers are measured in three groups, each by towers of the other two, twice over: the first
round begins from nothing."""


@dataclass(frozen=True)
class LipSyncRecipe:
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
    max_own_lag_ms: float = col("largest own lag of a speaker that is believed", "ms",
                                default=300.0)
    seed: int = col("of all chance", default=0)


def is_synchronous(example: Example, patterns: Sequence[str]) -> bool:
    """Whether the example's source or speaker matches one of the patterns."""
    return any(fnmatch(example.source, p) or example.speaker == p for p in patterns)


def fit(examples: Sequence[Example], synchronous: Sequence[str], recipe: LipSyncRecipe,
        say: Callable[[str], None] = lambda _: None) -> tuple[LipSync, dict[str, float]]:
    """A model (not calibrated yet) and each speaker's own lag in ms. `prepare` comes before.

    Raises ValueError for no examples or none with speech.
    """
    if not examples:
        raise ValueError("no examples to train on")
    model = LipSync([], _lip_scale(examples), _pixels(examples), 0.0)
    featurize(model, examples)
    lags = own_lags(model, examples, synchronous, recipe, say)
    temperatures = []
    for number in range(recipe.towers):
        say(f"towers {number + 1} of {recipe.towers}")
        towers, temperature = _train_towers(examples, recipe, number, recipe.steps, lags, say)
        model.towers.append(towers)
        temperatures.append(temperature)
    model.temperature = float(np.mean(temperatures))
    model.bias_ms = _anchor_bias(model, examples, synchronous)
    return model, lags


def featurize(model: LipSync, examples: Sequence[Example]) -> None:
    """Fill in `lips` and `pixels` with the model's scales."""
    for example in examples:
        example.lips = feat.lip_shape(example.landmarks) / model.lip_scale
        turned = example.mouths[:, :, ::-1]
        example.pixels = np.stack([feat.mouth_features(m) @ model.pixels
                                   for m in (example.mouths, turned)])


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


def _train_towers(examples, recipe: LipSyncRecipe, number: int, num_steps: int,
                  lags: dict[str, float], say) -> tuple[Towers, float]:
    random = np.random.default_rng([recipe.seed, number])
    torch.manual_seed(1000 * recipe.seed + number)
    towers, scale = Towers(recipe.dropout), torch.nn.Parameter(torch.tensor(2.5))
    optimizer = torch.optim.AdamW([*towers.parameters(), scale], recipe.learning_rate,
                                  weight_decay=recipe.weight_decay)
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
        for person in np.repeat(random.choice(people, recipe.batch // 2, p=weight / weight.sum()),
                                2):
            chosen = random.choice(len(groups[person]),
                                   p=lengths[person] / lengths[person].sum())
            windows.append(draw(groups[person][chosen], recipe.frames, steps,
                                recipe.max_plant_ms / 10, lags[person], random))
        seen, heard, exists, planted = (np.stack(x) for x in zip(*windows, strict=True))
        score = scale.exp() * lag_correlation(
            towers.see(torch.from_numpy(seen).transpose(1, 2)),
            towers.hear(torch.from_numpy(heard).transpose(1, 2)), torch.from_numpy(exists), steps)
        loss = contrastive_loss(score, torch.from_numpy(planted).float(), steps,
                                recipe.target_ms / 10)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(towers.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            say(f"step {step + 1} of {num_steps}, loss {loss.item():.2f}")
    return towers.eval(), scale.exp().item()


def contrastive_loss(score: torch.Tensor, planted: torch.Tensor, steps: int,
                     width: float) -> torch.Tensor:
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


def whole_curve(model: LipSync, example: Example, search_ms: float = 700.0) -> np.ndarray:
    """The correlation of a whole example over lags, [num towers, 2 S + 1]."""
    seen = model.see(np.concatenate([feat.fast_part(example.lips), example.pixels[0]], 1))
    heard = model.hear(example.mels[0])
    return model.curves(seen, heard, np.ones(len(example.mels[0]), bool), 0, search_ms)


def own_lags(model: LipSync, examples: Sequence[Example], synchronous: Sequence[str],
             recipe: LipSyncRecipe, say=lambda _: None) -> dict[str, float]:
    """Lag of each speaker in ms against the synchronous ones, by towers that never saw it."""
    seconds: dict[str, int] = {}
    for e in examples:
        seconds[e.speaker] = seconds.get(e.speaker, 0) + len(e)
    people = sorted(seconds, key=lambda p: (-seconds[p], p))
    lags = dict.fromkeys(people, 0.0)
    if len(people) < LAG_GROUPS:
        return lags
    groups = [people[k::LAG_GROUPS] for k in range(LAG_GROUPS)]
    for turn in range(LAG_ROUNDS):
        found = {}
        for k, group in enumerate(groups):
            rest = [e for e in examples if e.speaker not in group]
            towers, scale = _train_towers(rest, recipe, 100 + 10 * turn + k, recipe.lag_steps,
                                          lags, say)
            judge = LipSync([towers], model.lip_scale, model.pixels, scale)
            for person in group:
                found[person] = _pooled_lag(judge, [e for e in examples if e.speaker == person])
        anchors = {e.speaker for e in examples if is_synchronous(e, synchronous)}
        zero = float(np.median([found[a] for a in anchors])) if anchors else 0.0
        lags = {p: 0.0 if p in anchors or abs(lag - zero) > recipe.max_own_lag_ms else lag - zero
                for p, lag in found.items()}
        say("own lags, ms: " + ", ".join(f"{p} {v:+.0f}" for p, v in sorted(lags.items())))
    return lags


def _pooled_lag(model: LipSync, examples: Sequence[Example]) -> float:
    curves = [whole_curve(model, e).mean(0) for e in examples]
    pooled = pool(curves, [len(e) for e in examples])
    peak = None if pooled is None else find_peak(pooled, 10.0)
    return 0.0 if peak is None else peak.lag_ms


def _anchor_bias(model: LipSync, examples, synchronous) -> float:
    """Median lag measured on synchronous examples; 0 without any."""
    lags = [find_peak(whole_curve(model, e).mean(0), 10.0) for e in examples
            if is_synchronous(e, synchronous)]
    return float(np.median([p.lag_ms for p in lags if p])) if any(lags) else 0.0
