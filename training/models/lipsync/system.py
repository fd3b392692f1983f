"""What every synchrony model shares in training: speakers' own lags, the zero, and one `fit`.

Clips' own lags (a camera's delay) are not known. A model learns whatever lag it is trained
with, so a clip's own is measured by a model that never saw its speaker; corpora known to be
synchronous set the zero. How a model is trained when lags are given is its `System`'s affair:
`training/models/lipsync/towers.py`, and `training/models/lipsync/linear.py` for data without
pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from manifests.records import col
from stages.networks.lag_curves import Peak, Reading, find_peak, pool
from stages.networks.lipsync import STEP_MS
from training.models.lipsync.examples import Example

LAG_GROUPS, LAG_ROUNDS = 3, 2
"""Speakers are measured in three groups, each by a model of the other two, twice over: the first
round begins from nothing."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """What every recipe has; it goes into the file of the weights."""

    max_own_lag_ms: float = col("largest own lag of a clip that is believed", "ms", default=200.0)
    seed: int = col("of all chance", default=0)


class Model(Protocol):
    """A trained synchrony model, as stages run it."""

    bias_ms: float
    """Lag measured on synchronous training speakers; `peak` takes it away."""
    calibration: np.ndarray | None
    facts: dict | None

    def clip_reading(
        self, landmarks: np.ndarray, mouths: np.ndarray, pcm: np.ndarray
    ) -> Reading | None: ...

    def peak(self, curve: np.ndarray) -> Peak | None: ...

    def save(self, path: Path) -> None: ...


M = TypeVar("M", bound=Model)


class System(Protocol[M]):
    """How one kind of model is trained: all that `fit` and the trial ask of it."""

    @property
    def recipe(self) -> Recipe: ...

    @property
    def num_evidence(self) -> int:
        """Weights of its calibration (`lag_curves.evidence`)."""
        ...

    def load(self, path: Path) -> M:
        """A model that was saved."""
        ...

    def prepare(self, examples: Sequence[Example], random: np.random.Generator) -> None:
        """What is made once of each sample, before speakers are left out."""
        ...

    def begin(self, examples: Sequence[Example]) -> M:
        """A model that has seen nothing but the scales of its features."""
        ...

    def featurize(self, model: M, examples: Sequence[Example]) -> None:
        """Fill in what depends on those scales."""
        ...

    def judge(
        self, start: M, examples: Sequence[Example], lags: dict[str, float], number: int, say: Say
    ) -> M:
        """A model that is good enough to measure others' own lags; `number` seeds its chance."""
        ...

    def train(self, start: M, examples: Sequence[Example], lags: dict[str, float], say: Say) -> M:
        """The whole model, where each example's picture is late by `lags` ms, by its name."""
        ...

    def curve(self, model: M, example: Example) -> np.ndarray:
        """Correlation of a whole example over lags, bias left in, float32 [voters, L]."""
        ...


def is_synchronous(example: Example, patterns: Sequence[str]) -> bool:
    """Whether the example's source or speaker matches one of the patterns."""
    return any(fnmatch(example.source, p) or example.speaker == p for p in patterns)


@dataclass(frozen=True)
class OwnLags:
    """What models that never saw an example's speaker say of its lag: ms by the example's name."""

    measured: dict[str, float]
    """Against the synchronous ones, however large."""
    believed: dict[str, float]
    """Of the examples that are learnt from: 0 for synchronous ones. An example is not among them
    if its lag is larger than a camera makes it: late sound, or nothing that agrees."""


def fit(
    system: System[M],
    examples: Sequence[Example],
    synchronous: Sequence[str],
    say: Say = lambda _: None,
    lags: OwnLags | None = None,
) -> tuple[M, OwnLags]:
    """A model (not calibrated yet) and the examples' own lags, unless these are given. `prepare`
    comes before.

    Raises ValueError for no examples.
    """
    if not examples:
        raise ValueError("no examples to train on")
    start = system.begin(examples)
    system.featurize(start, examples)
    if lags is None:
        lags = own_lags(system, start, examples, synchronous, say)
    learnt = [e for e in examples if e.name in lags.believed]
    model = system.train(start, learnt, lags.believed, say)
    model.bias_ms = _anchor_bias(system, model, examples, synchronous)
    return model, lags


def own_lags(
    system: System[M],
    start: M,
    examples: Sequence[Example],
    synchronous: Sequence[str],
    say: Say = lambda _: None,
    each: Callable[..., Iterable[dict[str, float]]] = map,
) -> OwnLags:
    """Lag of each example in ms against the synchronous ones, by models that never saw its
    speaker. `each` maps a function over the judges of a round, which are independent."""
    seconds: dict[str, int] = {}
    for e in examples:
        seconds[e.speaker] = seconds.get(e.speaker, 0) + len(e)
    people = sorted(seconds, key=lambda p: (-seconds[p], p))
    nothing = {e.name: 0.0 for e in examples}
    lags = OwnLags(nothing, nothing)
    if len(people) < LAG_GROUPS:
        return lags
    groups = [people[k::LAG_GROUPS] for k in range(LAG_GROUPS)]
    limit = system.recipe.max_own_lag_ms
    anchors = {e.name for e in examples if is_synchronous(e, synchronous)}
    for turn in range(LAG_ROUNDS):
        found: dict[str, float] = {}
        jobs = [
            (system, start, examples, group, lags.believed, 10 * turn + k)
            for k, group in enumerate(groups)
        ]
        for part in each(_measured_by_others, jobs):
            found |= part
        zero = float(np.median([found[a] for a in sorted(anchors)])) if anchors else 0.0
        found = {n: lag - zero for n, lag in found.items()}
        kept = {
            n: 0.0 if n in anchors else lag
            for n, lag in found.items()
            if n in anchors or abs(lag) <= limit
        }
        # Judges that know next to nothing must not take away a group that the next ones need.
        enough = len(kept) >= len(examples) / 2
        lags = OwnLags(found, kept if enough else {n: kept.get(n, 0.0) for n in found})
        told = np.abs(list(lags.believed.values()))
        say(
            f"own lags: median {np.median(told):.0f} ms, largest {told.max():.0f} ms; "
            f"{len(examples) - len(told)} of {len(examples)} left out"
        )
    return lags


def _measured_by_others(job: tuple) -> dict[str, float]:
    """Lags of a group's examples by a judge that learnt from all others."""
    system, start, examples, group, lags, number = job
    rest = [e for e in examples if e.speaker not in group and e.name in lags]
    judge = system.judge(start, rest, lags, number, lambda _: None)
    theirs = [e for e in examples if e.speaker in group]
    return pooled_lags(system, judge, theirs, lambda e: e.name)


def pooled_lags(
    system: System[M],
    model: M,
    examples: Sequence[Example],
    key: Callable[[Example], str] = lambda e: e.speaker,
) -> dict[str, float]:
    """Each speaker's lag in ms over all its examples (or that of what `key` tells apart), by a
    model that never saw it.

    The model's bias is taken away; 0 where nothing could be measured.
    """
    found = {}
    for name in sorted({key(e) for e in examples}):
        theirs = [e for e in examples if key(e) == name]
        pooled = pool([system.curve(model, e).mean(0) for e in theirs], [len(e) for e in theirs])
        peak = None if pooled is None else find_peak(pooled, STEP_MS)
        found[name] = 0.0 if peak is None else peak.lag_ms - model.bias_ms
    return found


def _anchor_bias(
    system: System[M], model: M, examples: Sequence[Example], synchronous: Sequence[str]
) -> float:
    """Median lag measured on synchronous examples; 0 without any."""
    peaks = [
        find_peak(system.curve(model, e).mean(0), STEP_MS)
        for e in examples
        if is_synchronous(e, synchronous)
    ]
    lags_ms = [p.lag_ms for p in peaks if p is not None]
    return float(np.median(lags_ms)) if lags_ms else 0.0
