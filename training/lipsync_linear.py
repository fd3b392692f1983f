"""Fit the linear synchrony model (`stages/networks/lipsync_linear.py`) on a built corpus.

    python -m training.lipsync_linear CORPUS [CORPUS ...] --out WEIGHTS

reads `landmarks.npy` and `audio.flac` of every sample. The speakers' own lags are not known, so
they are estimated in turn with the maps; those named `--synchronous` count as zero and anchor
the scale.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from manifests.media import decode_flac
from stages.networks import lipsync_linear as net

NUM_COMPONENTS = 4
AUDIO_RIDGE, LIP_RIDGE = 3.0, 0.3
ROUNDS = 3
MAX_OWN_LAG_MS = 300.0


@dataclass(frozen=True)
class Example:
    """`landmarks` float32 [T, 68, 2] at 25 fps, `pcm` int16 [640 T]."""

    landmarks: np.ndarray
    pcm: np.ndarray
    speaker: str


def examples_of(corpus: Path) -> Iterator[Example]:
    """Every sample of a corpus. Raises ValueError if it has no shards."""
    shards = sorted((corpus / "shards").glob("*/*.tar"))
    if not shards:
        raise ValueError(f"{corpus} has no shards; build one with `yld build`")
    import json

    for shard in shards:
        members: dict[str, dict[str, bytes]] = {}
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                members.setdefault(key, {})[suffix] = tar.extractfile(member).read()
        for parts in members.values():
            yield Example(
                np.load(io.BytesIO(parts["landmarks.npy"]), allow_pickle=False),
                decode_flac(parts["audio.flac"]), json.loads(parts["json"])["speaker_id"])


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


def fit(examples: Sequence[Example], synchronous: frozenset[str] = frozenset(),
        rounds: int = ROUNDS) -> tuple[net.LinearModel, dict[str, float]]:
    """A model (bias and calibration still zero) and each speaker's own lag in ms.

    Raises ValueError for no examples.
    """
    if not examples:
        raise ValueError("no examples to fit on")
    anchors = mean_face(examples)
    sounds = [net.audio_features(e.pcm) for e in examples]
    lips = [net.lip_features(e.landmarks, anchors) for e in examples]
    lags = {e.speaker: 0.0 for e in examples}
    for turn in range(rounds):
        model = _solve(examples, sounds, lips, lags, anchors)
        if turn + 1 < rounds:
            lags = _own_lags(model, examples, sounds, lips, synchronous)
    return model, lags


def _own_lags(model, examples, sounds, lips, synchronous) -> dict[str, float]:
    curves: dict[str, list[np.ndarray]] = {}
    for example, sound, lip in zip(examples, sounds, lips, strict=True):
        curve = net.correlation_curve(lip @ model.components, sound @ model.matrix, 0, 400)
        curves.setdefault(example.speaker, []).append(len(lip) * np.nan_to_num(curve, nan=-1))
    lags = {}
    for speaker, stack in curves.items():
        best = (int(np.argmax(np.sum(stack, 0))) - 40) * net.STEP_MS
        known = speaker in synchronous or abs(best) > MAX_OWN_LAG_MS
        lags[speaker] = 0.0 if known else best
    return lags


def _solve(examples, sounds, lips, lags, anchors) -> net.LinearModel:
    """Regularized canonical correlation; speakers weigh by the root of their length."""
    length: dict[str, int] = {}
    for example in examples:
        length[example.speaker] = length.get(example.speaker, 0) + len(example.landmarks)
    xs, ys = [], []
    for example, sound, lip in zip(examples, sounds, lips, strict=True):
        rows = 4 * np.arange(len(lip)) - round(lags[example.speaker] / net.STEP_MS)
        ok = (rows >= 0) & (rows < len(sound))
        weight = length[example.speaker] ** -0.25
        xs.append(weight * sound[rows[ok]])
        ys.append(weight * lip[ok])
    x, y = np.concatenate(xs).astype(np.float64), np.concatenate(ys).astype(np.float64)
    x_scale, y_scale = x.std(0) + 1e-6, y.std(0) + 1e-6
    x, y = x / x_scale, y / y_scale
    x_root = cholesky(x.T @ x / len(x) + AUDIO_RIDGE * np.eye(x.shape[1]), lower=True)
    y_root = cholesky(y.T @ y / len(x) + LIP_RIDGE * np.eye(y.shape[1]), lower=True)
    inner = solve_triangular(x_root, x.T @ y / len(x), lower=True)
    inner = solve_triangular(y_root, inner.T, lower=True).T
    left, strength, right = np.linalg.svd(inner)
    k = NUM_COMPONENTS
    matrix = solve_triangular(x_root.T, left[:, :k]) / x_scale[:, None]
    components = solve_triangular(y_root.T, right[:k].T) / y_scale[:, None] * strength[:k]
    return net.LinearModel(matrix.astype(np.float32), components.astype(np.float32), anchors,
                           0.0, np.zeros(4, np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--synchronous", nargs="*", default=[], metavar="SPEAKER")
    parser.add_argument("--out", type=Path, default=net.WEIGHTS)
    arguments = parser.parse_args()
    examples = [e for corpus in arguments.corpora for e in examples_of(corpus)]
    model, lags = fit(examples, frozenset(arguments.synchronous))
    shipped = net.LinearModel.load() if net.WEIGHTS.exists() else model
    dataclasses.replace(model, calibration=shipped.calibration).save(arguments.out)
    for speaker, lag_ms in sorted(lags.items()):
        print(f"{speaker}: own lag {lag_ms:+.0f} ms")
    print(f"{len(examples)} clips, {len({e.speaker for e in examples})} speakers "
          f"-> {arguments.out}")


if __name__ == "__main__":
    main()
