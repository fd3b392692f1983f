"""From rows to a table: means over ok rows, how many there are, and how sure the mean is.

Rows without a value are left out and counted: `coverage` is the share of utterances that the
mean stands for. The interval is a percentile bootstrap (Efron and Tibshirani 1993, ch. 13)
that draws whole speakers, because utterances of one speaker are alike; where fewer than two
speakers are known it draws utterances and says so.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.records import Score

NUM_DRAWS, LEVEL, SEED = 2000, 0.95, 20231
MAX_REASONS = 20


@dataclass(frozen=True)
class Summary:
    """One metric over a test set. `mean` is null where no row is ok."""

    metric: str
    mean: float | None
    """Mean over ok rows; for error rates pooled: all edits over all reference words."""
    mean_of_utterances: float | None
    low: float | None
    high: float | None
    clustered_by: str | None
    """`speaker` or `utterance`; null without an interval."""
    num_clusters: int
    n: int
    num_utterances: int
    coverage: float
    statuses: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    """The commonest reasons for a missing score, up to `MAX_REASONS`, and how often each."""
    num_reasons: int = 0
    """How many reasons there are."""
    signatures: list[str] = field(default_factory=list)
    """More than one means that rows of different settings were mixed."""


def summarise(rows: Iterable[Score]) -> list[Summary]:
    """One summary per metric, in order of first appearance."""
    groups: dict[str, list[Score]] = defaultdict(list)
    for row in rows:
        groups[row.metric].append(row)
    return [_summary(name, group) for name, group in groups.items()]


def _summary(name: str, rows: Sequence[Score]) -> Summary:
    good = [
        row
        for row in rows
        if row.status == "ok" and row.value is not None and math.isfinite(row.value)
    ]
    signatures = sorted({row.signature for row in good} or {row.signature for row in rows})
    mean = low = high = clustered_by = plain = None
    reasons = Counter(row.reason for row in rows if row.reason and row.status != "ok")
    clusters = 0
    if good:
        tops, weights = _parts(good)
        mean = float(tops.sum() / weights.sum())
        plain = float(np.mean([row.value for row in good]))
        clustered_by, labels = _clusters(good)
        clusters = len(set(labels))
        if clusters > 1:
            low, high = cluster_interval(tops, weights, labels)
        else:
            clustered_by = None
    return Summary(
        name,
        mean,
        plain,
        low,
        high,
        clustered_by,
        clusters,
        len(good),
        len(rows),
        len(good) / len(rows),
        dict(Counter(row.status for row in rows)),
        dict(reasons.most_common(MAX_REASONS)),
        len(reasons),
        signatures,
    )


def _parts(rows: Sequence[Score]) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators whose sums give the mean."""
    if all(row.length for row in rows):
        return (
            np.array([row.errors for row in rows], float),
            np.array([row.length for row in rows], float),
        )
    return np.array([row.value for row in rows], float), np.ones(len(rows))


def _clusters(rows: Sequence[Score]) -> tuple[str, list[str]]:
    speakers = [row.speaker for row in rows if row.speaker is not None]
    if len(speakers) == len(rows) and len(set(speakers)) > 1:
        return "speaker", speakers
    return "utterance", [row.utterance for row in rows]


def cluster_interval(
    tops: np.ndarray,
    weights: np.ndarray,
    labels: Sequence[str],
    num_draws: int = NUM_DRAWS,
    level: float = LEVEL,
    seed: int = SEED,
) -> tuple[float, float]:
    """Percentile interval of sum(tops) / sum(weights) over draws of whole clusters.

    `tops` and `weights` float [N], `labels` [N]. The seed is fixed: the same rows give the same
    interval. Raises ValueError for fewer than two clusters.
    """
    names, index = np.unique(np.asarray(labels), return_inverse=True)
    if len(names) < 2:
        raise ValueError("an interval needs at least two clusters")
    top = np.bincount(index, tops, len(names))
    weight = np.bincount(index, weights, len(names))
    rng = np.random.default_rng(seed)
    means = np.empty(num_draws)
    for i in range(num_draws):  # one draw at a time: a corpus may have many utterances
        drawn = rng.integers(0, len(names), len(names))
        means[i] = top[drawn].sum() / weight[drawn].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
