"""What a training says: a line of JSON a step, and TensorBoard's files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manifests.files import write_atomic

SOUND_RATE_HZ = 16000


class Log:
    """`log.jsonl` and TensorBoard's files below `folder`; without one (other ranks), nothing."""

    def __init__(self, folder: Path | None, step: int) -> None:
        self._file, self._board = None, None
        if folder is None:
            return
        path = folder / "log.jsonl"
        _cut(path, step)
        self._file = open(path, "a")  # noqa: SIM115
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)

    def figures(self, kind: str, step: int, figures: Mapping[str, float]) -> None:
        """One line: `kind` is "train" or "judge"."""
        if self._file is None or self._board is None:
            return
        line = {"kind": kind, "step": step, **figures}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for name, value in figures.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)

    def shown(self, step: int, things: Mapping[str, Any]) -> None:
        """Pictures uint8 [H, W, 3], sounds float32 [S]."""
        if self._board is None:
            return
        for name, thing in things.items():
            array = np.asarray(thing)
            if array.ndim == 1:
                self._board.add_audio(name, array[None], step, SOUND_RATE_HZ)
            else:
                self._board.add_image(name, array, step, dataformats="HWC")

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
