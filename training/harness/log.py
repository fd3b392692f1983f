"""What a training says: a line of JSON a step, and TensorBoard's files or a run at Weights and
Biases beside it."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from manifests.files import write_atomic

SOUND_RATE_HZ = 16000
LOGGERS = ("tensorboard", "wandb")
PROJECT, RUN_ID = "yld", "wandb-run"
"""The project's name at Weights and Biases where WANDB_PROJECT names none; the file in the
training's folder with the run's id, so that a training that goes on is one run there."""


class NoLoggerError(ValueError):
    """A logger was asked for whose library is not installed."""


def check_logger(name: str) -> None:
    """Before anything that takes long. Raises NoLoggerError."""
    if name == "wandb" and importlib.util.find_spec("wandb") is None:
        raise NoLoggerError(
            "--logger wandb needs the package wandb, which is not installed: "
            "`uv pip install -e '.[wandb]'`, or leave the option out for TensorBoard"
        )


class Board(Protocol):
    """Where figures, pictures and sounds are looked at."""

    def figures(self, kind: str, step: int, figures: Mapping[str, float]) -> None: ...

    def shown(self, step: int, name: str, thing: np.ndarray) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Files below `folder`/tensorboard."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)

    def figures(self, kind: str, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def shown(self, step: int, name: str, thing: np.ndarray) -> None:
        if thing.ndim == 1:
            self._writer.add_audio(name, thing[None], step, SOUND_RATE_HZ)
        else:
            self._writer.add_image(name, thing, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class WandbBoard:
    """A run at Weights and Biases, the same one when the training goes on; `WANDB_MODE=offline`
    keeps it below `folder`, and `wandb login` is the user's own."""

    STEP = "trainer/global_step"

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb

        path = folder / RUN_ID
        if not path.exists():
            write_atomic(path, secrets.token_hex(8) + "\n")
        self._run = wandb.init(
            project=_project(),
            name=folder.resolve().name,
            id=path.read_text(encoding="utf-8").strip(),
            dir=folder,
            resume="allow",
            config=dict(config),
            settings=wandb.Settings(quiet=True),
        )
        # No `step` of theirs: it may only rise, and a training that goes on takes some again.
        self._run.define_metric("*", step_metric=self.STEP)

    def figures(self, kind: str, step: int, figures: Mapping[str, float]) -> None:
        self._run.log({**{f"{kind}/{name}": v for name, v in figures.items()}, self.STEP: step})

    def shown(self, step: int, name: str, thing: np.ndarray) -> None:
        import wandb

        what = (
            wandb.Audio(thing, sample_rate=SOUND_RATE_HZ)
            if thing.ndim == 1
            else wandb.Image(thing, caption=f"step {step}")
        )
        self._run.log({name: what, self.STEP: step})

    def close(self) -> None:
        self._run.finish()


def _project() -> str:
    return os.environ.get("WANDB_PROJECT") or PROJECT


class Log:
    """`log.jsonl` and a board; without a `folder` (other ranks), nothing. `config` is told to the
    board that keeps it."""

    def __init__(
        self,
        folder: Path | None,
        step: int,
        logger: str = "tensorboard",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._file: TextIO | None = None
        self._board: Board | None = None
        if folder is None:
            return
        check_logger(logger)
        path = folder / "log.jsonl"
        _cut(path, step)
        self._file = open(path, "a")  # noqa: SIM115
        self._board = (
            WandbBoard(folder, config or {}) if logger == "wandb" else TensorBoard(folder, step)
        )

    def figures(self, kind: str, step: int, figures: Mapping[str, float]) -> None:
        """One line: `kind` is "train" or "judge"."""
        if self._file is None or self._board is None:
            return
        line = {"kind": kind, "step": step, **figures}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        self._board.figures(kind, step, figures)

    def shown(self, step: int, things: Mapping[str, Any]) -> None:
        """Pictures uint8 [H, W, 3], sounds float32 [S]."""
        if self._board is None:
            return
        for name, thing in things.items():
            self._board.shown(step, name, np.asarray(thing))

    def close(self) -> None:
        """All that was said is in the files."""
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


def _cut(path: Path, step: int) -> None:
    """Drop what a killed run said of steps that are taken again."""
    if not path.exists():
        return
    kept = []
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # the run was killed within it
            continue
        if isinstance(line, dict) and line.get("step", 0) <= step:
            kept.append(text + "\n")
    write_atomic(path, "".join(kept))
