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

from manifests.lag_curves import find_peak, pool
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


def held_out(examples: Sequence[Example], synchronous: frozenset[str],
             seed: int = 0) -> list[dict]:
    """Leave-one-speaker-out: a row per 3 s window with its true and a foreign sound.

    Keys: speaker, error_ms (against the speaker's pooled lag, 0 for the synchronous; None for
    foreign sound), height, margin, seconds, is_foreign.
    """
    random = np.random.default_rng(seed)
    rows = []
    for speaker in sorted({e.speaker for e in examples}):
        rest = [e for e in examples if e.speaker != speaker]
        if not rest:
            continue
        model, _ = fit(rest, synchronous)
        model = dataclasses.replace(model, lag_bias_ms=bias_ms(model, rest, synchronous))
        tested = [e for e in examples if e.speaker == speaker]
        pooled = find_peak(pool([curve(model, e) for e in tested],
                                [len(e.landmarks) for e in tested]), net.STEP_MS)
        own = 0.0 if speaker in synchronous else pooled.lag_ms
        for example in tested:
            other = rest[random.integers(len(rest))].pcm
            other = np.roll(np.resize(other, len(example.pcm)), random.integers(16000))
            for low in range(0, max(1, len(example.landmarks) - 74), 25):
                high = min(low + 75, len(example.landmarks))
                for pcm, is_foreign in ((example.pcm, False), (other, True)):
                    peak = find_peak(curve(model, example, low, high, pcm), net.STEP_MS)
                    if peak is None:
                        continue
                    rows.append({
                        "speaker": speaker, "height": peak.height, "margin": peak.margin,
                        "seconds": (high - low) / 25, "is_foreign": is_foreign,
                        "error_ms": None if is_foreign else peak.lag_ms - own})
    return rows


def curve(model: net.LinearModel, example: Example, low: int = 0, high: int | None = None,
          pcm: np.ndarray | None = None, search_ms: float = 500.0) -> np.ndarray:
    """Correlation over lags of frames `[low, high)` of an example."""
    lips = net.seen(model, example.landmarks)[low:high]
    expected = net.predict(model, example.pcm if pcm is None else pcm)
    shift = round(model.lag_bias_ms / net.STEP_MS)
    return net.correlation_curve(lips, expected, 4 * low - shift, search_ms)


def bias_ms(model: net.LinearModel, examples: Sequence[Example],
            synchronous: frozenset[str]) -> float:
    """Median lag that the model measures on synchronous speakers; 0 without any."""
    lags = [find_peak(curve(model, e), net.STEP_MS).lag_ms for e in examples
            if e.speaker in synchronous and len(e.landmarks) >= 50]
    return float(np.median(lags)) if lags else 0.0


def calibrate(rows: Sequence[dict]) -> np.ndarray:
    """Logistic weights of height, margin, ln seconds and 1 for P(error < 40 ms), [4]."""
    x = np.array([[r["height"], r["margin"], np.log(max(r["seconds"], 0.5)), 1.0] for r in rows])
    y = np.array([not r["is_foreign"] and abs(r["error_ms"]) < 40 for r in rows], float)
    weights = np.zeros(4)
    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ weights))
        bend = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(4)
        weights += np.linalg.solve(bend, x.T @ (y - p) - 1e-3 * weights)
    return weights


def report(rows: Sequence[dict], weights: np.ndarray) -> str:
    """Held-out accuracy by speaker, and what confidence thresholds let through, as text."""
    lines = ["speaker | windows | within 40 ms | median error ms", "--- | --- | --- | ---"]
    true = [r for r in rows if not r["is_foreign"]]
    for speaker in sorted({r["speaker"] for r in true}):
        errors = np.array([r["error_ms"] for r in true if r["speaker"] == speaker])
        lines.append(f"{speaker} | {len(errors)} | {(abs(errors) < 40).sum()} of {len(errors)} | "
                     f"{np.median(errors):+.0f}")
    lines += ["", "confidence from | of talking windows | correct of those | of foreign sound",
              "--- | --- | --- | ---"]
    x = np.array([[r["height"], r["margin"], np.log(max(r["seconds"], 0.5)), 1.0] for r in rows])
    sure = 1 / (1 + np.exp(-x @ weights))
    foreign = np.array([r["is_foreign"] for r in rows])
    right = np.array([not r["is_foreign"] and abs(r["error_ms"]) < 40 for r in rows])
    for limit in (0.5, 0.6, 0.7, 0.8, 0.9):
        kept = sure >= limit
        lines.append(f"{limit} | {(kept & ~foreign).sum()} of {(~foreign).sum()} | "
                     f"{(kept & right).sum()} of {(kept & ~foreign).sum()} | "
                     f"{(kept & foreign).sum()} of {foreign.sum()}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--synchronous", nargs="*", default=[], metavar="SPEAKER")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    examples = [e for corpus in arguments.corpora for e in examples_of(corpus)]
    train(examples, frozenset(arguments.synchronous), arguments.out)


def train(examples: Sequence[Example], synchronous: frozenset[str], out: Path) -> None:
    """Held-out table and calibration first, then the model of all examples, to `out`."""
    rows = held_out(examples, synchronous)
    weights = calibrate(rows)
    print(report(rows, weights))
    model, lags = fit(examples, synchronous)
    model = dataclasses.replace(model, calibration=weights,
                                lag_bias_ms=bias_ms(model, examples, synchronous))
    model.save(out)
    for speaker, lag_ms in sorted(lags.items()):
        print(f"{speaker}: own lag {lag_ms:+.0f} ms")
    print(f"bias {model.lag_bias_ms:+.1f} ms, {len(examples)} clips -> {out}")


if __name__ == "__main__":
    main()
