"""The side file of `shots`: faces frame by frame, written and read in pieces.

A piece is some frames of all faces, as `{number}/{column}`; together they are a table whose rows
are in the order of frames for each tracklet. A two-hour video has hundreds of MB of them, and
neither the stage that writes them nor the one that reads them holds more than the shot at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from manifests.arrays import NpzWriter, open_npz
from stages.faces.chips import CHIP_SHAPES
from stages.faces.tracklets import TrackletRows
from stages.networks.lipsync_features import MOUTH_SHAPE

PIECE_ROWS = 3000
FACE_COLUMNS = {
    "frame": ((), np.int32),
    "slot": ((), np.int32),
    "boxes": ((4,), np.float32),
    "landmarks": ((68, 2), np.float32),
    "score": ((), np.float32),
    "mouths": (MOUTH_SHAPE, np.uint8),
}
CHIP_COLUMNS = {
    "chip_frame": ((), np.int32),
    "chip_slot": ((), np.int32),
    "chip_likeness": ((), np.float32),
    **{name: (shape, np.uint8) for name, shape in CHIP_SHAPES.items()},
}


class FaceRowsWriter:
    """Takes rows as faces are followed. `scale` of each call takes the pictures looked at to
    source pixels; `frames` are the frames of all rows."""

    def __init__(self, out: NpzWriter) -> None:
        self._out, self._number = out, 0
        self._held: list[TrackletRows] = []
        self.frames: list[int] = []

    def push(self, rows: Sequence[TrackletRows], scale: float) -> None:
        """Keep rows, and write a piece when there are enough."""
        for part in rows:
            part.scale(scale)
            self.frames += part.frames
        self._held += rows
        if sum(len(part.frames) for part in self._held) >= PIECE_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held; an empty first piece says that there was no face."""
        if not self._held and self._number:
            return
        held = self._held
        arrays = {
            "frame": [f for p in held for f in p.frames],
            "slot": [p.number for p in held for _ in p.frames],
            "boxes": [b for p in held for b in p.boxes],
            "landmarks": [x for p in held for x in p.points],
            "score": [s for p in held for s in p.scores],
            "mouths": [m for p in held for m in p.mouths],
            "chip_frame": [f for p in held for f, _, _ in p.chips],
            "chip_slot": [p.number for p in held for _ in p.chips],
            "chip_likeness": [v for p in held for _, _, v in p.chips],
            **{
                name: [getattr(c, name) for p in held for _, c, _ in p.chips]
                for name in CHIP_SHAPES
            },
        }
        self._out.add(
            {
                f"{self._number:06d}/{name}": np.array(arrays[name], kind).reshape(-1, *shape)
                for name, (shape, kind) in (FACE_COLUMNS | CHIP_COLUMNS).items()
            }
        )
        self._number, self._held = self._number + 1, []


class FaceRows:
    """Reads what a FaceRowsWriter wrote. `chip_frame`, `chip_slot` int32 [M] and
    `chip_likeness` float32 [M] are of the whole video."""

    def __init__(self, path: Path | str) -> None:
        self._file = open_npz(path)
        numbers = sorted({name.partition("/")[0] for name in self._file.files})
        self._pieces = [(n, self._file[f"{n}/frame"]) for n in numbers]
        self.chip_frame, self.chip_slot, self.chip_likeness = (
            np.concatenate([self._file[f"{n}/{name}"] for n in numbers])
            for name in ("chip_frame", "chip_slot", "chip_likeness")
        )
        self._chip_piece = np.concatenate(
            [np.full(len(self._file[f"{n}/chip_frame"]), i) for i, n in enumerate(numbers)]
        )
        self._chip_index = np.concatenate(
            [np.arange(len(self._file[f"{n}/chip_frame"])) for n in numbers]
        )

    def between(self, start: int, end: int) -> dict[str, np.ndarray]:
        """The face columns of the rows whose frame is in [start, end)."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name in FACE_COLUMNS}
        for number, frames in self._pieces:
            inside = (frames >= start) & (frames < end)
            if inside.any():
                for name, found in parts.items():
                    found.append(self._file[f"{number}/{name}"][inside])
        return {
            name: np.concatenate(found)
            if found
            else np.zeros((0, *FACE_COLUMNS[name][0]), FACE_COLUMNS[name][1])
            for name, found in parts.items()
        }

    def chips(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Chips `name` (`chips` or `aligned`) uint8 [len(rows), side, side, 3] by their rows."""
        made = np.zeros((len(rows), *CHIP_SHAPES[name]), np.uint8)
        wanted = np.asarray(rows, int)
        for piece in np.unique(self._chip_piece[wanted]):
            here = np.flatnonzero(self._chip_piece[wanted] == piece)
            stored = self._file[f"{self._pieces[piece][0]}/{name}"]
            made[here] = stored[self._chip_index[wanted[here]]]
        return made
