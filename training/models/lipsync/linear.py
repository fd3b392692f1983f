"""Train the linear synchrony model (`stages/networks/lipsync_linear.py`): the `System`
"lipsync_linear".

Regularized canonical correlation between the sound as it is and the lips: one solution, no
chance, no pictures. It is the baseline of decision 2 and the estimator for data without
pictures of the mouth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from manifests.records import col
from stages.networks import lipsync_linear as net
from training.models.lipsync.examples import Example
from training.models.lipsync.system import Recipe, Say


@dataclass(frozen=True)
class LinearRecipe(Recipe):
    """How the maps are found; only the held-out trial draws by chance."""

    components: int = col("directions in which sound and lips are compared", default=4)
    audio_ridge: float = col("added to the variance of sound, which is 1", default=3.0)
    lip_ridge: float = col("added to the variance of lips, which is 1", default=0.3)


@dataclass(frozen=True)
class LinearSystem:
    """What `training.models.lipsync.system` asks of the maps; see `System` there.

    Of an example it fills `lips` [T, 200] and one of `mels` [4 T, 650].
    """

    recipe: LinearRecipe
    num_evidence: ClassVar[int] = 4

    def load(self, path: Path) -> net.LinearModel:
        return net.LinearModel.load(path)

    def prepare(self, examples: Sequence[Example], random: np.random.Generator) -> None:
        """Nothing: the maps hear each sound as it is."""

    def begin(self, examples: Sequence[Example]) -> net.LinearModel:
        return net.LinearModel(
            np.zeros((net.SOUND_SIZE, 0), np.float32),
            np.zeros((net.LIP_SIZE, 0), np.float32),
            mean_face(examples),
        )

    def featurize(self, model: net.LinearModel, examples: Sequence[Example]) -> None:
        for example in examples:
            example.lips = net.lip_features(example.landmarks, model.anchors)
            example.mels = [net.audio_features(example.pcm)]

    def judge(
        self,
        start: net.LinearModel,
        examples: Sequence[Example],
        lags: dict[str, float],
        number: int,
        say: Say,
    ) -> net.LinearModel:
        return self.train(start, examples, lags, say)

    def train(
        self, start: net.LinearModel, examples: Sequence[Example], lags: dict[str, float], say: Say
    ) -> net.LinearModel:
        matrix, components = _solve(examples, lags, self.recipe)
        return dataclasses.replace(start, matrix=matrix, components=components)

    def curve(
        self, model: net.LinearModel, example: Example, search_ms: float = 500.0
    ) -> np.ndarray:
        return net.correlation_curve(
            example.lips @ model.components, example.mels[0] @ model.matrix, 0, search_ms
        )[None]


def mean_face(examples: Sequence[Example]) -> np.ndarray:
    """Anchors [21, 2] of the mean face, eyes one unit apart, by two rounds of alignment."""
    shapes = [np.median(e.landmarks, axis=0) for e in examples]
    anchors = [s[list(net.ANCHORS)] for s in shapes]
    mean = anchors[0]
    for _ in range(3):
        moved = []
        for points in anchors:
            matrix = net.similarity(points, mean)
            moved.append(points @ matrix[:, :2].T + matrix[:, 2])
        mean = np.mean(moved, 0)
        eyes = mean[15:21].mean(0) - mean[9:15].mean(0)
        mean = (mean - mean.mean(0)) / np.linalg.norm(eyes)
    return mean.astype(np.float32)


def _solve(
    examples: Sequence[Example], lags: dict[str, float], recipe: LinearRecipe
) -> tuple[np.ndarray, np.ndarray]:
    """Maps of sound float32 [650, K] and lips float32 [200, K] by regularized canonical
    correlation; speakers weigh by the root of their length."""
    length: dict[str, int] = {}
    for example in examples:
        length[example.speaker] = length.get(example.speaker, 0) + len(example.landmarks)
    xs, ys = [], []
    for example in examples:
        sound, lip = example.mels[0], example.lips
        rows = 4 * np.arange(len(lip)) - round(lags[example.name] / net.STEP_MS)
        ok = (rows >= 0) & (rows < len(sound))
        weight = length[example.speaker] ** -0.25
        xs.append(weight * sound[rows[ok]])
        ys.append(weight * lip[ok])
    x, y = np.concatenate(xs).astype(np.float64), np.concatenate(ys).astype(np.float64)
    x_scale, y_scale = x.std(0) + 1e-6, y.std(0) + 1e-6
    x, y = x / x_scale, y / y_scale
    x_root = cholesky(x.T @ x / len(x) + recipe.audio_ridge * np.eye(x.shape[1]), lower=True)
    y_root = cholesky(y.T @ y / len(x) + recipe.lip_ridge * np.eye(y.shape[1]), lower=True)
    inner = solve_triangular(x_root, x.T @ y / len(x), lower=True)
    inner = solve_triangular(y_root, inner.T, lower=True).T
    left, strength, right = np.linalg.svd(inner)
    k = recipe.components
    matrix = solve_triangular(x_root.T, left[:, :k]) / x_scale[:, None]
    components = solve_triangular(y_root.T, right[:k].T) / y_scale[:, None] * strength[:k]
    return matrix.astype(np.float32), components.astype(np.float32)
