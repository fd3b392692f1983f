"""Fit the ridge synchrony model (`stages/networks/lipsync_ridge.py`) on a built corpus.

    python -m training.lipsync_ridge CORPUS [CORPUS ...] --out WEIGHTS

reads `landmarks.npy` and `audio.flac` of every sample. Clips that were corrected count as
synchronous; the mean lag over speakers that is left is removed as the model's bias.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manifests.media import decode_flac
from stages.networks import lipsync_ridge as net

NUM_COMPONENTS = 5
RIDGE = 30000.0


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


def fit(examples: Sequence[Example], lag_bias_ms: float = 0.0) -> net.RidgeModel:
    """A model from examples; every speaker counts the same. Raises ValueError for none."""
    if not examples:
        raise ValueError("no examples to fit on")
    anchors = mean_face(examples)
    counts = {s: sum(len(e.landmarks) for e in examples if e.speaker == s)
              for s in {e.speaker for e in examples}}
    mouths = [net.detrend(net.head_fixed_mouth(e.landmarks, anchors)) for e in examples]
    weights = [1 / counts[e.speaker] ** 0.5 for e in examples]
    covariance = sum(w * m.T @ m for w, m in zip(weights, mouths, strict=True))
    values, vectors = np.linalg.eigh(covariance)
    components = vectors[:, ::-1][:, :NUM_COMPONENTS].T.astype(np.float32)
    size = net.NUM_BANDS * (2 * net.CONTEXT + 1) + 1
    gram, cross = np.zeros((size, size)), np.zeros((size, NUM_COMPONENTS))
    for example, mouth, weight in zip(examples, mouths, weights, strict=True):
        context = net.audio_context(net.log_mel(example.pcm))
        rows = np.arange(len(mouth)) * 4 + round(-lag_bias_ms / net.STEP_MS)
        ok = (rows >= 0) & (rows < len(context))
        x, y = context[rows[ok]].astype(np.float64), mouth[ok] @ components.T
        y = y / (y.std() + 1e-6)
        gram += weight * x.T @ x
        cross += weight * x.T @ y
    gram[np.diag_indices(size)] += RIDGE * sum(
        w * len(m) for w, m in zip(weights, mouths, strict=True)) / 1000
    return net.RidgeModel(np.linalg.solve(gram, cross).astype(np.float32), components, anchors,
                          0.0, np.zeros(4, np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=net.WEIGHTS)
    arguments = parser.parse_args()
    examples = [e for corpus in arguments.corpora for e in examples_of(corpus)]
    fit(examples).save(arguments.out)
    print(f"{len(examples)} clips, {len({e.speaker for e in examples})} speakers "
          f"-> {arguments.out}")


if __name__ == "__main__":
    main()
