"""The held-out trial in folds: whole speakers left out, each fold a training of its own.

Folds are independent and take minutes, so each is written when it is done, and a trial that was
stopped goes on with the next. A fold's weights are kept too: where its windows are gone (or are
removed, to try them as the code now does), they are tried again and nothing is trained. Own lags
are estimated once, by models that never saw the speaker whose clip they measure, though they saw
speakers that another fold leaves out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from manifests.clock import seconds_of
from manifests.files import write_atomic
from training.models.lipsync.examples import Example
from training.models.lipsync.system import (
    OwnLags,
    Say,
    System,
    fit,
    is_synchronous,
    own_lags,
    pooled_lags,
)
from training.models.lipsync.trial import Row, is_consistent, is_right, try_speaker

WINDOWS_FRAMES = (25, 50, 75, 150)
"""Lengths of the windows that are tried."""
TRIAL_VERSION = 2
"""Of what is kept of a window: rows of another one are not read."""
FAR_CENTRE_MS, AGREE_MS = 500.0, 40.0


@dataclass(frozen=True)
class Plan:
    """What all folds share."""

    system: System
    examples: list[Example]
    synchronous: tuple[str, ...]
    folds: list[list[str]]
    folder: Path

    @property
    def print(self) -> str:
        """Of all that decides a fold's outcome: another plan's work is not taken for this one's."""
        told = [
            dataclasses.asdict(self.system.recipe),
            type(self.system).__name__,
            [(e.name, e.speaker, len(e)) for e in self.examples],
            self.synchronous,
            self.folds,
            WINDOWS_FRAMES,
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


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


def held_out(plan: Plan, jobs: int = 1, say: Say = print) -> tuple[list[Row], OwnLags]:
    """Every fold's windows, with their curves, and the own lags of all examples. Folds that
    `plan.folder` has already are read. `System.prepare` comes before.

    Raises ValueError where the folder holds another trial.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    for i in range(len(plan.folds)):
        _check(plan, i)
    todo = [i for i in range(len(plan.folds)) if not _rows_file(plan, i).exists()]
    with ExitStack() as stack:
        each: Callable[..., Iterable] = map
        if jobs > 1:
            context = get_context("spawn")
            pool = ProcessPoolExecutor(jobs, context, initializer=_one_thread)
            each = stack.enter_context(pool).map
        lags = _shared_lags(plan, say, each)
        done = each(_try_fold, [(plan, i, lags) for i in todo])
        for i, rows in zip(todo, done, strict=True):
            talk = [r for r in rows if r.kind == "talk" and 2.5 < r.seconds <= 3]
            right, near = (sum(f(r) for r in talk) for f in (is_right, is_consistent))
            say(
                f"fold {i + 1} of {len(plan.folds)}, {len(plan.folds[i])} speakers left out: of "
                f"{len(talk)} windows of 3 s {right} within 40 ms, {near} of the clip's centre"
            )
    return [row for i in range(len(plan.folds)) for row in _read(plan, i)], lags


def so_far(plan: Plan) -> list[Row]:
    """Windows of the folds that `plan.folder` has; nothing is trained or tried. Raises ValueError
    where it holds another trial, or none yet."""
    done = [i for i in range(len(plan.folds)) if _rows_file(plan, i).exists()]
    if not done:
        raise ValueError(f"{plan.folder} has no fold yet")
    for i in done:
        _check(plan, i)
    return [row for i in done for row in _read(plan, i)]


def _shared_lags(plan: Plan, say: Say, each: Callable[..., Iterable]) -> OwnLags:
    """Own lags of all examples, estimated once and kept beside the folds."""
    file = plan.folder / "own_lags.json"
    if file.exists():
        made = json.loads(file.read_text())
        if made.pop("print") != plan.print:
            raise ValueError(f"{file} is of another trial; give an empty folder")
        return OwnLags(**made)
    start = plan.system.begin(plan.examples)
    plan.system.featurize(start, plan.examples)
    lags = own_lags(plan.system, start, plan.examples, plan.synchronous, say, each)
    write_atomic(file, json.dumps({"print": plan.print, **dataclasses.asdict(lags)}))
    return lags


def _rows_file(plan: Plan, number: int) -> Path:
    return plan.folder / f"fold{number}.npz"


def weights_of_fold(folder: Path, number: int) -> Path:
    """Where the weights of a fold lie: those that saw none of its speakers."""
    return folder / f"fold{number}.safetensors"


def _rows_print(plan: Plan) -> str:
    return f"{plan.print}-{TRIAL_VERSION}"


def _check(plan: Plan, number: int) -> None:
    file = _rows_file(plan, number)
    if file.exists():
        with np.load(file, allow_pickle=False) as made:
            if str(made["print"]) != _rows_print(plan):
                raise ValueError(
                    f"{file} is of another trial; give an empty folder, or remove the file to try "
                    "its weights again"
                )


def _read(plan: Plan, number: int) -> list[Row]:
    with np.load(_rows_file(plan, number), allow_pickle=False) as made:
        facts, curves = json.loads(str(made["rows"])), made["curves"].astype(np.float32)
    nan = {"mass", "spread_ms", "speech_s", "rhythm"}

    def values(told: dict[str, Any]) -> dict[str, Any]:
        return {k: float("nan") if v is None and k in nan else v for k, v in told.items()}

    return [Row(**values(f), curve=c) for f, c in zip(facts, curves, strict=True)]


def _write(plan: Plan, number: int, rows: Sequence[Row]) -> None:
    facts = []
    for row in rows:
        told = {k: v for k, v in vars(row).items() if k != "curve"}
        facts.append({k: None if v != v else v for k, v in told.items()})  # JSON knows no NaN
    file = _rows_file(plan, number)
    part = file.with_name(file.name + ".part")
    with open(part, "wb") as out:
        np.savez_compressed(
            out,
            print=_rows_print(plan),
            rows=json.dumps(facts),
            curves=np.array([r.curve for r in rows], np.float16),
        )
    part.replace(file)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _try_fold(job: tuple[Plan, int, OwnLags]) -> list[Row]:
    """Train without a fold's speakers and try them."""
    plan, number, lags = job
    system, fold = plan.system, set(plan.folds[number])
    random = np.random.default_rng([system.recipe.seed, 7, number])
    tested = [e for e in plan.examples if e.speaker in fold]
    rest = [e for e in plan.examples if e.speaker not in fold]
    model = _weights_of(plan, number, lags, rest)
    rows = try_model(system, model, tested, rest, plan.synchronous, lags, random)
    _write(plan, number, rows)
    return _read(plan, number)


def _weights_of(plan: Plan, number: int, lags: OwnLags, rest: Sequence[Example]):
    """The fold's model: as it lies there, or trained and kept."""
    file = weights_of_fold(plan.folder, number)
    if file.exists():
        made = plan.system.load(file)
        if (made.facts or {}).get("print") == plan.print:
            return made
    model, _ = fit(plan.system, rest, plan.synchronous, lags=lags)
    model.calibration = np.zeros(plan.system.num_evidence, np.float32)
    model.facts = {"left_out": sorted(plan.folds[number]), "print": plan.print}
    model.save(file)
    return model


def try_model(
    system: System,
    model,
    tested: Sequence[Example],
    rest: Sequence[Example],
    synchronous: Sequence[str],
    lags: OwnLags | None,
    random: np.random.Generator,
) -> list[Row]:
    """Windows of all lengths of speakers that the model never saw; `rest` lends other voices."""
    system.featurize(model, tested)
    centre, native = own_centres(system, model, tested, synchronous, lags)
    rows: list[Row] = []
    for frames in WINDOWS_FRAMES:
        longer = [e for e in tested if len(e) >= frames or frames == WINDOWS_FRAMES[0]]
        rows += try_speaker(model, longer, rest, native, centre, random, frames)
    return rows


def own_centres(
    system: System,
    model,
    tested: Sequence[Example],
    synchronous: Sequence[str],
    lags: OwnLags | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """What errors are measured against, in ms by the examples' names: the centre that the model
    itself finds over the whole example, and the native lag, 0 for synchronous ones.

    A centre that no camera explains is believed only where the own lags, which other models
    found, say the same; else windows are judged against zero.
    """
    limit = system.recipe.max_own_lag_ms
    found = pooled_lags(system, model, tested, lambda e: e.name)

    def is_believed(name: str, lag: float) -> bool:
        if lags is None or abs(lag) <= limit:
            return abs(lag) <= limit
        return abs(lag) <= FAR_CENTRE_MS and abs(lags.measured[name] - lag) <= AGREE_MS

    centre = {n: lag if is_believed(n, lag) else 0.0 for n, lag in found.items()}
    native = {e.name: 0.0 if is_synchronous(e, synchronous) else centre[e.name] for e in tested}
    return centre, native
