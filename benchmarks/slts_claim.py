"""The claim of Niu and Mak's paper, small: SLTS finds the lags of the data it learns from.

A corpus built whole and uncorrected, such as GRID's (`yld build SOURCE --out CORPUS --set
clips.mode=whole --set sync.correct=false`), gets a planted lag of up to 150 ms in each clip. The
`tiny` preset is trained with and without the mechanism (ASM), a fifth of the clips held out; these
are judged at the end of the cosine, with averaged weights and four plants of other seeds each. A
plant is the truth where a clip's own lag is known to be small: held-out clips whose lag the build
could not measure, or found above 20 ms, are not tests (`not_tests`).

python -m benchmarks.slts_claim CORPUS --seed S --minutes 10 [--json] [--plot FILE] [--set K=V]...
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from manifests.corpus import Corpus
from pipeline.config.settings import from_mapping
from training.data.loader import Loader, mixture_of
from training.data.mixture import EvaluationPlan
from training.harness.checkpoints import last_checkpoint, load_weights
from training.harness.data import parts_of
from training.models.catalogue import KINDS
from training.models.slts.system import SltsSystem, decode_of, determination

PLANTS = 4
RADIUS_COLUMNS = 15
WITHIN_MS, OWN_LAG_MS = 40.0, 20.0
PACED_FROM, PACED_UNTIL, WARM_UP = 4, 16, 60
"""Steps between which the pace is taken, and the least that are worth taking."""
JUDGING_S, RESTART_S = 45.0, 20.0


def settings(seed: int, has_asm: bool, more: Sequence[str]) -> list[str]:
    """What the two trainings have beside the preset."""
    return [
        f"recipe.seed={seed}",
        "data.split=all",
        "data.held_out=0.2",
        f"view.plant_columns={RADIUS_COLUMNS}",
        "vocoder_clips=0",
        "by_frontend=false",
        "recipe.validate_every_steps=0",
        f"shape.asm={str(has_asm).lower()}",
        *more,
    ]


def start(corpus: str, out: Path, words: Sequence[str], minutes: float) -> subprocess.Popen:
    """`yld train slts` on one thread."""
    command = [sys.executable, "-m", "pipeline.cli", "train", "slts", "--data", corpus]
    command += ["--out", str(out), "--preset", "tiny", "--device", "cpu"]
    command += ["--minutes", str(minutes)]
    for word in words:
        command += ["--set", word]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def judged(corpus: str, out: Path) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Key, number of the plant and figures of each held-out clip under each plant, by the last
    weights; and with another clip's sound, as `foreign_ms`."""
    last = last_checkpoint(out / "checkpoints")
    assert last is not None
    tensors, about = load_weights(last)
    kind = KINDS["slts"]
    config = from_mapping(type(kind.presets["tiny"]()), about.config)
    system = SltsSystem(config, dict(about.facts))
    system.network.load_state_dict(tensors)
    system.eval()
    parts = parts_of([corpus], config.data, kind.wanted(config))
    known = in_sync(corpus)
    for plant in range(PLANTS):
        other = replace(config, recipe=replace(config.recipe, seed=1000 + plant))
        decode = decode_of(parts, other, system.facts)
        judging = list(parts.judging)
        plan = EvaluationPlan(mixture_of(judging), 28)  # type: ignore[arg-type]
        for batch in Loader(judging, decode, plan):  # type: ignore[arg-type]
            real = {n: c for n, c in batch.items()}
            with torch.no_grad():
                rows = system.judge(system.network, real)
                foreign = _foreign(system, real) if config.shape.asm else [None] * len(rows)
            padding = real["is_padding"].tolist()  # type: ignore[union-attr]
            for key, row, k, is_padding in zip(real["key"], rows, foreign, padding, strict=True):
                if not is_padding and str(key) in known:
                    told = row if k is None else {**row, "foreign_ms": 10.0 * k}
                    yield str(key), plant, told


def in_sync(corpus: str) -> set[str]:
    """Keys of clips with a measured lag of their own of at most 20 ms."""
    rows = Corpus(Path(corpus)).columns("clips", ("clip_id", "video_lag_ms"))
    return {str(key) for key, lag in rows if lag is not None and abs(lag) <= OWN_LAG_MS}


def _foreign(system: SltsSystem, batch: dict) -> list[int]:
    """DSM's offsets, in columns, with the sound of the clip beside."""
    pictures, mel, lengths = system._inputs(batch)
    log_p = system.network.measure(pictures, mel.roll(1, 0), lengths)
    return (log_p.argmax(1) - log_p.shape[1] // 2).tolist()


def fitting_steps(out: Path, process: subprocess.Popen, end_s: float) -> int | None:
    """How many steps a training's pace leaves time for; None where all of its own fit.

    It is told while the rate still rises, when the length of the cosine has changed nothing yet.
    """
    planned = 0
    seen: list[tuple[int, float]] = []
    while process.poll() is None:
        if not planned and (out / "run.json").exists():
            planned = json.loads((out / "run.json").read_text())["config"]["recipe"]["steps"]
        step = _logged(out)
        if step >= PACED_FROM and (not seen or step > seen[-1][0]):
            seen.append((step, time.monotonic()))
        if step >= PACED_UNTIL and len(seen) > 1:
            (first, began_s), (last, now_s) = seen[0], seen[-1]
            pace_s = (now_s - began_s) / (last - first)
            fitting = last + int((end_s - now_s - RESTART_S) / pace_s)
            fits = now_s + (planned - last) * pace_s < end_s
            return None if fits else max(WARM_UP, fitting)
        time.sleep(0.05)
    return None


def _logged(out: Path) -> int:
    """The last step of a log; 0 where there is none."""
    try:
        lines = (out / "log.jsonl").read_text().splitlines()
        return int(json.loads(lines[-1])["step"])
    except (OSError, ValueError, IndexError):
        return 0


def claim(
    corpus: str, seed: int, minutes: float, more: Sequence[str], folder: Path, is_alone: bool
) -> dict:
    """All figures of one seed; both trainings run beside each other. `is_alone` leaves out the one
    without ASM, and its figure is None."""
    began = time.monotonic()
    runs = {name: folder / name for name in (("asm",) if is_alone else ("asm", "without"))}

    def begin(also: Sequence[str] = ()) -> dict[str, subprocess.Popen]:
        words = {n: [*settings(seed, n == "asm", more), *also] for n in runs}
        return {n: start(corpus, out, words[n], minutes * 0.95) for n, out in runs.items()}

    started = begin()
    steps = fitting_steps(runs["asm"], started["asm"], began + 60 * minutes - JUDGING_S)
    if steps is not None:
        for process in started.values():
            process.terminate()
            process.communicate()
        started = begin([f"recipe.steps={steps}"])
    for name, process in started.items():
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(f"{name}: {errors}")
    rows = list(judged(corpus, runs["asm"]))
    plain = [] if is_alone else list(judged(corpus, runs["without"]))
    planted, found, frontend, foreign = (
        np.array([row[name] for _, _, row in rows])
        for name in ("planted_ms", "offset_ms", "frontend_ms", "foreign_ms")
    )
    error = found - planted
    return {
        "seed": seed,
        "r2": determination(planted, found),
        "bias_ms": float(error.mean()),
        "median_error_ms": float(np.median(np.abs(error))),
        "within_40_ms": float((np.abs(error) <= WITHIN_MS).mean()),
        "r2_frontend": determination(frontend, found),
        "aligned_loss": float(np.mean([row["aligned_loss"] for _, _, row in rows])),
        "aligned_loss_without_asm": (
            float(np.mean([row["aligned_loss"] for _, _, row in plain])) if plain else None
        ),
        "r2_other_sound": determination(planted, foreign),
        "tests": len(rows),
        "not_tests": PLANTS * _held_out(corpus, runs["asm"]) - len(rows),
        "steps": [steps_of(out) for out in runs.values()],
        "minutes": round((time.monotonic() - began) / 60, 2),
    }


def _held_out(corpus: str, out: Path) -> int:
    """Clips that the training did not see."""
    return len(json.loads((out / "judged.json").read_text())["clips"])


def steps_of(out: Path) -> int:
    """How far a training came."""
    last = last_checkpoint(out / "checkpoints")
    return 0 if last is None else load_weights(last)[1].step


def plot(folder: Path, target: Path) -> None:
    """Curves of both trainings, one above the other: losses by step."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, colour in (("asm", "C0"), ("without", "C1")):
        if not (folder / name).is_dir():
            continue
        lines = [json.loads(t) for t in (folder / name / "log.jsonl").read_text().splitlines()]
        lines = [line for line in lines if line["kind"] == "train"]
        steps = [line["step"] for line in lines]
        label = "with ASM" if name == "asm" else "without ASM"
        axes.plot(steps, [line["hard"] for line in lines], colour, label=f"hard loss {label}")
        if name == "asm":
            axes.plot(steps, [line["soft"] for line in lines], f"{colour}:", label="soft loss")
    axes.set_xlabel("step of 16 clips")
    axes.set_ylabel("mean squared error, training clips")
    axes.set_ylim(0, None)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(target, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", action="store_true", help="without the training without ASM")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for both trainings; a new one")
    parser.add_argument("--set", action="append", default=[], dest="more", metavar="KEY=VALUE")
    told = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = told.keep or Path(temporary)
        figures = claim(told.corpus, told.seed, told.minutes, told.more, folder, told.alone)
        if told.plot:
            plot(folder, told.plot)
    if told.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:26} {value if not isinstance(value, float) else round(value, 3)}")


if __name__ == "__main__":
    main()
