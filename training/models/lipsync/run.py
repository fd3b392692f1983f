"""`yld train`: the held-out trial, the calibration, and the weights of all speakers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from manifests.clock import seconds_of
from manifests.files import write_atomic
from manifests.numbers import signed_ms
from training.models.lipsync.examples import Example, examples_of
from training.models.lipsync.system import Say, System, fit, is_synchronous, pooled_lags
from training.models.lipsync.trial import (
    Row,
    as_dicts,
    calibrate,
    cross_confidence,
    is_consistent,
    is_right,
    try_speaker,
)

WINDOWS_FRAMES = (25, 50, 75, 150)
"""Lengths of the windows that are tried."""


def load(corpora: Sequence[Path]) -> list[Example]:
    """Samples of all corpora, in order. Raises ValueError where there are none."""
    return [example for corpus in corpora for example in examples_of(Path(corpus))]


def folds_of(examples: Sequence[Example], largest: int) -> list[list[str]]:
    """Groups of at most `largest` speakers that are left out together; who has more than a
    tenth of the data is left out alone."""
    seconds: dict[str, float] = {}
    for e in examples:
        seconds[e.speaker] = seconds.get(e.speaker, 0) + seconds_of(len(e))
    total = sum(seconds.values())
    alone = sorted(s for s in seconds if seconds[s] > total / 10)
    rest = sorted(s for s in seconds if s not in alone)
    count = -(-len(rest) // largest)
    return [[s] for s in alone] + [rest[k::count] for k in range(count)]


def try_fold(job: tuple) -> list[Row]:
    """Train without a fold's speakers and try them. Runs in a process of its own."""
    import torch

    torch.set_num_threads(1)
    system, examples, fold, synchronous, kept = job
    random = np.random.default_rng([system.recipe.seed, 7])
    tested = [e for e in examples if e.speaker in fold]
    rest = [e for e in examples if e.speaker not in fold]
    model, _ = fit(system, rest, synchronous)
    if kept is not None:
        model.calibration = np.zeros(system.num_evidence, np.float32)
        model.facts = {"left_out": fold}
        model.save(kept)
    system.featurize(model, tested)
    centre, native = own_centres(system, model, tested, synchronous)
    rows: list[Row] = []
    for frames in WINDOWS_FRAMES:
        longer = [e for e in tested if len(e) >= frames or frames == WINDOWS_FRAMES[0]]
        rows += try_speaker(model, longer, rest, native, centre, random, frames)
    return rows


def own_centres(
    system: System, model, tested: Sequence[Example], synchronous: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """What errors are measured against, in ms by the examples' names: the centre that the model
    itself finds over the whole example, and the native lag, 0 for synchronous ones. A centre that
    no camera explains is no centre: then windows are judged against zero."""
    limit = system.recipe.max_own_lag_ms
    found = pooled_lags(system, model, tested, lambda e: e.name)
    centre = {n: lag if abs(lag) <= limit else 0.0 for n, lag in found.items()}
    native = {e.name: 0.0 if is_synchronous(e, synchronous) else centre[e.name] for e in tested}
    return centre, native


def run(
    system: System,
    corpora: Sequence[Path],
    out: Path,
    synchronous: Sequence[str],
    *,
    fold_size: int = 15,
    jobs: int = 1,
    keep_folds: Path | None = None,
    say: Say = print,
) -> Path:
    """Train to `out`; beside it `*.trial.json` with every held-out window. Returns the latter."""
    examples = load(corpora)
    speakers = sorted({e.speaker for e in examples})
    if len(speakers) < 3:
        raise ValueError(
            f"{len(speakers)} speaker(s) are too few: the confidence is fitted on "
            "speakers that were left out"
        )
    length_s = seconds_of(sum(map(len, examples)))
    say(f"{len(examples)} samples, {length_s:.0f} s, {len(speakers)} speakers")
    system.prepare(examples, np.random.default_rng([system.recipe.seed, 1]))
    folds = folds_of(examples, fold_size)
    if keep_folds is not None:
        keep_folds.mkdir(parents=True, exist_ok=True)
    work = [
        (
            system,
            examples,
            fold,
            tuple(synchronous),
            keep_folds and keep_folds / f"fold{i}.safetensors",
        )
        for i, fold in enumerate(folds)
    ]
    rows: list[Row] = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as workers:
        for fold, found in zip(folds, workers.map(try_fold, work), strict=True):
            rows += found
            talk = [r for r in found if r.kind == "talk" and 2.5 < r.seconds <= 3]
            right, near = (sum(f(r) for r in talk) for f in (is_right, is_consistent))
            say(
                f"left out {', '.join(fold)}: of {len(talk)} windows {right} within 40 ms, "
                f"{near} within 40 ms of the clip's centre"
            )
    sure = cross_confidence(rows)
    trial = out.with_suffix(".trial.json")
    write_atomic(trial, json.dumps(as_dicts(rows, sure)))
    model, lags = fit(system, examples, synchronous, say)
    model.calibration = calibrate(rows).astype(np.float32)
    model.facts = {
        "recipe": dataclasses.asdict(system.recipe),
        "num_samples": len(examples),
        "seconds": round(seconds_of(sum(map(len, examples))), 1),
        "num_speakers": len(speakers),
        "largest_own_lag_ms": round(max(map(abs, lags.values())), 1),
        "bias_ms": round(model.bias_ms, 2),
    }
    model.save(out)
    say(f"{out}, {out.stat().st_size / 1e6:.2f} MB; bias {signed_ms(model.bias_ms, 1)}")
    return trial
