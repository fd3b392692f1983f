"""What a `tiny` model reaches in some minutes, beside honest rows: a model that makes speech, or
(`benchmarks.tiny_pictures`) one that makes faces of sound.

On clips that it did not learn from: its own sound; `ceiling`, the true mel through Griffin-Lim;
`mean_mel`, the training clips' mean column all the time; `other_clip`, the true sound of another
clip. A model that can put its sound together from training clips has a row `model_exemplars` too.
STOI, ESTOI and MCD as `yld evaluate` has them, plain and after the alignment frontend (`a_`).

python -m benchmarks.tiny_models CORPUS --model slts (--minutes 10 | --cpu-minutes 20) [--keep DIR]
    [--sounds DIR] [--rows model,...] [--set KEY=VALUE]... [--json]
python -m benchmarks.tiny_models CORPUS --model speech2vid [--deblur CHECKPOINT] [--strips DIR] ...

`--cpu-minutes 20` is ten minutes of two cores on a machine that has them free: processor time of
the training and all that it starts, its beginning and its judgements included. A training that is
ended by it has not come to the end of its schedule, so `--set recipe.steps=N` with a little fewer
steps than it allows does more; `cpu_minutes` of the result is what was used.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cpu_budget import run_within
from evaluation.metrics.alignment import apply_shift, find_shift
from evaluation.metrics.errors import NoScore
from evaluation.metrics.intelligibility import estoi, stoi
from evaluation.metrics.mcd import mcd
from manifests.clock import SAMPLES_PER_FRAME
from manifests.shards import ShardSample
from pipeline.synthesis.clips import speak_clip
from pipeline.synthesis.models import speaker_of
from training.data.sound_features import slts_mel, slts_sound
from training.harness.checkpoints import load_weights
from training.harness.data import Parts, parts_of, speakers_of
from training.harness.speaker import ExemplarSpeaker, Speaker
from training.models.catalogue import KINDS

FULL_SCALE = 32768
MEAN_CLIPS = 32
ROWS = ("model", "model_exemplars", "ceiling", "mean_mel", "other_clip")
METRICS = {"stoi": stoi, "estoi": estoi, "mcd": mcd}


def train(
    corpus: str,
    model: str,
    minutes: float | None,
    cpu_minutes: float | None,
    out: Path,
    more: Sequence[str],
) -> float:
    """`yld train`; the minutes of processor time that it took."""
    words = [sys.executable, "-m", "pipeline.cli", "train", model, "--data", corpus]
    words += ["--out", str(out), "--preset", "tiny"]
    words += [] if minutes is None else ["--minutes", str(minutes)]
    for setting in more:
        words += ["--set", setting]
    return run_within(words, cpu_minutes) / 60


def scores(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """Each metric, plain and aligned; what cannot be scored is left out."""
    told = {}
    pairs = {"": (truth, guess)}
    with contextlib.suppress(NoScore):
        pairs["a_"] = apply_shift(truth, guess, find_shift(truth, guess).shift_ms)
    for prefix, (reference, hypothesis) in pairs.items():
        for name, metric in METRICS.items():
            try:
                told[prefix + name] = metric(reference, hypothesis)
            except NoScore:
                continue
    return told


def held_out(parts: Parts) -> list[ShardSample]:
    return [part[number] for part in parts.judging for number in range(len(part))]


def rows_of(
    parts: Parts, checkpoint: Path, wanted: Sequence[str]
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Row, key, true sound and guess float32 [N] of each held-out clip, for the `wanted` rows."""
    voices = speakers_of(parts.judging)
    speakers: dict[str, Speaker] = {"model": speaker_of(checkpoint, "cpu")[0]}
    copier, _ = speaker_of(checkpoint, "cpu")
    if isinstance(copier, ExemplarSpeaker) and "model_exemplars" in wanted:
        copier.learn_from(parts.learnt)
        speakers["model_exemplars"] = copier
    samples = held_out(parts)
    column = _mean_column(parts) if "mean_mel" in wanted else np.empty(0)
    for i, sample in enumerate(samples):
        length = int(sample.facts["num_frames"]) * SAMPLES_PER_FRAME
        truth, other = (
            (s.sound[:length] / FULL_SCALE).astype(np.float32) for s in (sample, samples[i - 1])
        )
        for name, speaker in speakers.items():
            if name in wanted:
                yield name, sample.key, truth, speak_clip(speaker, sample, voices[sample.key])
        if "ceiling" in wanted:
            yield "ceiling", sample.key, truth, slts_sound(slts_mel(truth))[:length]
        if "mean_mel" in wanted:
            constant = np.repeat(column, len(slts_mel(truth)), 0)
            yield "mean_mel", sample.key, truth, slts_sound(constant)[:length]
        if "other_clip" in wanted:
            yield "other_clip", sample.key, truth, np.pad(other, (0, length - len(other)))


def _mean_column(parts: Parts) -> np.ndarray:
    """[1, 80] of the first clips that were learnt from."""
    mels = [slts_mel(p[n].sound) for p in parts.learnt for n in range(min(len(p), MEAN_CLIPS))]
    return np.concatenate(mels).mean(0, keepdims=True)


def write_wav(path: Path, sound: np.ndarray) -> None:
    from scipy.io import wavfile

    wavfile.write(path, 16000, (np.clip(sound, -1, 1) * 32767).astype(np.int16))


def write_pair(path: Path, truth: np.ndarray, guess: np.ndarray) -> None:
    """The log mel of the true sound, and below it of the guess at the true one's loudness; 80 dB,
    low bands at the bottom."""
    import cv2

    scale = np.sqrt(np.square(truth).mean() / max(float(np.square(guess).mean()), 1e-12))
    strips = []
    for sound in (truth, guess * scale):
        decibels = 20 / np.log(10) * slts_mel(sound.astype(np.float32)).T[::-1]
        strips += [decibels, np.full((2, decibels.shape[1]), np.inf)]
    shown = np.concatenate(strips[:-1])
    loudest = strips[0].max()
    grey = (np.clip((shown - loudest) / 80 + 1, 0, 1) * 255).astype(np.uint8)
    size = (2 * grey.shape[1], 2 * grey.shape[0])
    cv2.imwrite(str(path), cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST))


def judged(corpus: str, model: str, checkpoint: Path) -> tuple[Any, Parts]:
    """The settings of a trained model, and the clips that it did and did not learn from."""
    from pipeline.config.settings import from_mapping

    _, about = load_weights(checkpoint)
    kind = KINDS[model]
    config = from_mapping(type(kind.presets["tiny"]()), about.config)
    return config, parts_of([corpus], config.data, kind.wanted(config))


def pictures_table(corpus: str, told: argparse.Namespace, checkpoint: Path) -> dict:
    """Means by row of a model that makes faces."""
    from benchmarks.tiny_pictures import table as of_pictures

    config, parts = judged(corpus, told.model, checkpoint)
    samples = held_out(parts)[: told.clips]
    rows, step = of_pictures(samples, checkpoint, told.deblur, config.pairing, told.strips)
    return {"name": told.model, "step": step, **rows}


def table(
    corpus: str, model: str, checkpoint: Path, sounds: Path | None, wanted: Sequence[str] = ROWS
) -> dict:
    """Means by row, and how many clips each is of."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    _, about = speaker_of(checkpoint, "cpu")
    _, parts = judged(corpus, model, checkpoint)
    found: dict[str, list[dict[str, float]]] = {}
    for name, key, truth, guess in rows_of(parts, checkpoint, wanted):
        found.setdefault(name, []).append(scores(truth, guess))
        if sounds is not None and len(found[name]) <= 2:
            sounds.mkdir(parents=True, exist_ok=True)
            write_wav(sounds / f"{len(found[name])}-{name}.wav", guess)
            write_wav(sounds / f"{len(found[name])}-truth.wav", truth)
            write_pair(sounds / f"{len(found[name])}-{name}.png", truth, guess)
        print(f"{name} {key}", file=sys.stderr)
    return {
        "model": model,
        "step": about.step,
        **{
            name: {
                metric: round(float(np.mean([row[metric] for row in rows if metric in row])), 4)
                for metric in rows[0]
            }
            | {"clips": len(rows)}
            for name, rows in found.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument(
        "--model",
        default="slts",
        choices=[k for k in KINDS if KINDS[k].speaks or KINDS[k].animator],
    )
    parser.add_argument("--minutes", type=float, help="by the clock; 10 if no limit is given")
    parser.add_argument("--cpu-minutes", type=float, help="of processor time, of all its processes")
    parser.add_argument(
        "--rows", default=",".join(ROWS), help="comma list; the honest ones are of the clips alone"
    )
    parser.add_argument(
        "--keep", type=Path, help="folder of the training; one that is there is used"
    )
    parser.add_argument(
        "--sounds",
        type=Path,
        help="folder for WAVs of the first two clips, and their spectrograms",
    )
    parser.add_argument("--strips", type=Path, help="folder for pictures of the first two clips")
    parser.add_argument("--clips", type=int, help="judge by so many (pictures alone)")
    parser.add_argument("--deblur", type=Path, help="a trained speech2vid_deblur")
    parser.add_argument("--set", action="append", default=[], dest="more", metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = told.keep or Path(temporary) / "run"
        used = None
        if not (out / "best.safetensors").exists():
            minutes = 10.0 if told.minutes is None and told.cpu_minutes is None else told.minutes
            used = train(told.corpus, told.model, minutes, told.cpu_minutes, out, told.more)
        if KINDS[told.model].animator:
            figures = pictures_table(told.corpus, told, out)
        else:
            figures = table(told.corpus, told.model, out, told.sounds, told.rows.split(","))
        if used is not None:
            figures["cpu_minutes"] = round(used, 1)
    print(json.dumps(figures) if told.json else json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
