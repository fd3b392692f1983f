"""`yld train`: the held-out trial, the calibration, and the weights of all speakers."""

from __future__ import annotations

import csv
import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from manifests.clock import seconds_of
from manifests.files import write_atomic
from manifests.numbers import signed_ms
from training.models.lipsync.examples import Example, examples_of
from training.models.lipsync.held_out import Plan, folds_of, held_out
from training.models.lipsync.report import compact
from training.models.lipsync.system import Say, System, fit
from training.models.lipsync.trial import calibrate, cross_confidence


def load(corpora: Sequence[Path], indices: Sequence[Path] = ()) -> list[Example]:
    """Samples of all corpora, in order, with the speakers of the indices where these name them.
    Raises ValueError where there are no samples, or an index lacks its columns."""
    speaker_of = {path: row["speaker"] for path, row in read_indices(indices).items()}
    return [
        replace(example, speaker=speaker_of.get(example.source) or example.speaker)
        for corpus in corpora
        for example in examples_of(Path(corpus))
    ]


def read_indices(paths: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Rows of tab-separated indices by the clips' whole paths; `path` is beside the index. Raises
    ValueError for one without the columns path and speaker."""
    rows: dict[str, dict[str, str]] = {}
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            table = csv.DictReader(file, delimiter="\t")
            if not {"path", "speaker"} <= set(table.fieldnames or ()):
                raise ValueError(f"{path} lacks the columns path and speaker, tab-separated")
            for row in table:
                rows[str((path.parent / row["path"]).resolve())] = row
    return rows


def plan_of(
    system: System,
    examples: list[Example],
    synchronous: Sequence[str],
    fold_size: int,
    folder: Path,
) -> Plan:
    """The trial of these examples, which `System.prepare` has made ready where anything is to be
    trained. Raises ValueError for too few speakers."""
    speakers = {e.speaker for e in examples}
    if len(speakers) < 3:
        raise ValueError(
            f"{len(speakers)} speaker(s) are too few: the confidence is fitted on "
            "speakers that were left out"
        )
    return Plan(system, examples, tuple(synchronous), folds_of(examples, fold_size), folder)


def prepare(system: System, examples: Sequence[Example]) -> None:
    """What is made once of each sample, by the recipe's own chance."""
    system.prepare(examples, np.random.default_rng([system.recipe.seed, 1]))


def run(
    system: System,
    corpora: Sequence[Path],
    out: Path,
    synchronous: Sequence[str],
    *,
    indices: Sequence[Path] = (),
    fold_size: int = 15,
    jobs: int = 1,
    keep_folds: Path | None = None,
    say: Say = print,
) -> Path:
    """Train to `out`; beside it `*.trial.json` with every held-out window. Returns the latter.

    With `keep_folds` the folds' weights and windows stay there, and a run that was stopped goes on.
    """
    examples = load(corpora, indices)
    length_s = seconds_of(sum(map(len, examples)))
    num_speakers = len({e.speaker for e in examples})
    say(f"{len(examples)} samples, {length_s:.0f} s, {num_speakers} speakers")
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep_folds or Path(scratch)
        plan = plan_of(system, examples, synchronous, fold_size, folder)
        prepare(system, examples)
        rows, lags = held_out(plan, jobs, say)
    sure = cross_confidence(rows)
    trial = out.with_suffix(".trial.json")
    write_atomic(trial, compact(rows, sure))
    model, lags = fit(system, examples, synchronous, say, lags)
    model.calibration = calibrate(rows).astype(np.float32)
    told = lags.believed.values()
    model.facts = {
        "recipe": dataclasses.asdict(system.recipe),
        "num_samples": len(lags.believed),
        "seconds": round(seconds_of(sum(len(e) for e in examples if e.name in lags.believed)), 1),
        "num_speakers": num_speakers,
        "largest_own_lag_ms": round(max(map(abs, told)), 1),
        "bias_ms": round(model.bias_ms, 2),
    }
    model.save(out)
    say(f"{out}, {out.stat().st_size / 1e6:.2f} MB; bias {signed_ms(model.bias_ms, 1)}")
    return trial
