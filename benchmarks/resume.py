"""Killed at random steps and gone on with, a training gives the losses of one that was left alone.

python -m benchmarks.resume CORPUS --model slts --kills 10 [--steps 40] [--seed 0] [--json]

Each kill is SIGKILL at a step drawn at random among those to come, at any moment of it; the same
command then goes on. Losses of each step and the last weights are compared to the bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from training.harness.checkpoints import WEIGHTS, last_checkpoint

SETTINGS = {
    "slts": ["vocoder_clips=2", "by_frontend=false", "data.judged_clips=2", "recipe.batch=4"],
}


def command(corpus: str, model: str, out: Path, steps: int, more: list[str]) -> list[str]:
    """`yld train` with a checkpoint every second step."""
    words = [sys.executable, "-m", "pipeline.cli", "train", model, "--data", corpus]
    words += ["--out", str(out), "--preset", "tiny", "--device", "cpu"]
    settings = [f"recipe.steps={steps}", "recipe.save_every_steps=2"]
    settings += ["recipe.validate_every_steps=0", *SETTINGS.get(model, []), *more]
    for setting in settings:
        words += ["--set", setting]
    return words


def losses(out: Path) -> list[dict]:
    """The log's lines of training, the last of each step."""
    path, found = out / "log.jsonl", {}
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # being written
                continue
            if line["kind"] == "train":
                found[line["step"]] = line
    return [found[step] for step in sorted(found)]


def run(words: list[str], kill_at: int | None, out: Path, pause_s: float) -> bool:
    """One run, killed `pause_s` after its log tells of step `kill_at`; whether it was killed."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    while kill_at is not None and process.poll() is None:
        told = losses(out)
        if told and told[-1]["step"] >= kill_at:
            time.sleep(pause_s)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return True
        time.sleep(0.02)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors.decode())
    return False


def digest(out: Path) -> str:
    """Of the last weights, whatever file they lie in."""
    last = last_checkpoint(out / "checkpoints")
    assert last is not None
    return hashlib.sha256((last / WEIGHTS).read_bytes()).hexdigest()


def compare(corpus: str, model: str, kills: int, steps: int, seed: int, more: list[str]) -> dict:
    """`equal`: losses and weights to the bit; `kills` that hit."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        alone, killed = Path(folder) / "alone", Path(folder) / "killed"
        run(command(corpus, model, alone, steps, more), None, alone, 0)
        hits = 0
        while hits < kills:
            told = losses(killed)
            now = told[-1]["step"] if told else 0
            # So that as many steps are left for each kill to come.
            room = max(1, (steps - now) // (kills - hits + 1))
            at = now + int(random.integers(1, room + 1))
            if not run(
                command(corpus, model, killed, steps, more), at, killed, random.uniform(0, 0.5)
            ):
                break
            hits += 1
        run(command(corpus, model, killed, steps, more), None, killed, 0)
        first, second = losses(alone), losses(killed)
        same = [row["step"] for row in first] == [row["step"] for row in second]
        differences = [
            abs(a[name] - b[name])
            for a, b in zip(first, second, strict=False)
            for name in a
            if name != "kind"
        ]
        return {
            "equal": same and first == second and digest(alone) == digest(killed),
            "kills": hits,
            "max_loss_difference": max(differences),
            "steps": len(first),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--model", default="slts")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="more", metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    figures = compare(told.corpus, told.model, told.kills, told.steps, told.seed, told.more)
    print(json.dumps(figures) if told.json else figures)


if __name__ == "__main__":
    main()
