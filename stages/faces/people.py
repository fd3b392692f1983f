"""Pieces: the frames of one person inside one shot, and where a followed face changes person.

A face that is followed without a break may still become someone else: a dissolve, or a cut
that no detector saw. Its chips tell. A chip farther from the mean of those before it than
`split_distance` begins another person, and the frames between the two chips, which could be
either's, belong to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from stages.backends.protocols import Embedder
from stages.faces.side_file import FaceRows

EmbedderName = Literal["dlib_resnet", "arcface_insightface", "arcface_facexlib", "mobilefacenet"]
CLEAR_STEP = 4.0
"""A step of the points this many times the next largest is the frame of a cut."""
CLOSE_CHIPS_FRAMES = 15
"""Between chips closer than this nothing is searched for such a step: all is left out."""
AT_ONCE = 256
"""Chips embedded in one call, which bounds memory over a long shot."""


class ChipEmbeddings:
    """Embeddings of the chips of a side file, made when first asked for."""

    def __init__(self, embedder: Embedder, faces: FaceRows) -> None:
        self.embedder, self.faces = embedder, faces
        self._made: dict[int, np.ndarray] = {}

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """float32 [len(rows), D]."""
        wanted = [int(r) for r in rows if int(r) not in self._made]
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            made = self.embedder.embed(self.faces.chips(self.embedder.chips, some))
            self._made.update(zip(some, made, strict=True))
        return (
            np.stack([self._made[int(r)] for r in rows])
            if len(rows)
            else (self.embedder.embed(self.faces.chips(self.embedder.chips, [])))
        )


@dataclass
class Piece:
    """`rows` are of the shot's columns, `chip_rows` of the side file's chips; all arrays in order
    of frames."""

    frames: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    rows: np.ndarray
    chip_frames: np.ndarray
    chip_rows: np.ndarray
    chip_likeness: np.ndarray

    def part(self, low: int, high: int) -> Piece:
        """The frames in [low, high)."""
        rows = (self.frames >= low) & (self.frames < high)
        chips = (self.chip_frames >= low) & (self.chip_frames < high)
        return Piece(
            *(
                getattr(self, f.name)[chips if f.name.startswith("chip") else rows]
                for f in fields(self)
            )
        )

    def with_chips(self, kept: np.ndarray) -> Piece:
        """The same frames with the chips of a mask [len(chip_rows)]."""
        return Piece(
            self.frames,
            self.boxes,
            self.landmarks,
            self.scores,
            self.rows,
            self.chip_frames[kept],
            self.chip_rows[kept],
            self.chip_likeness[kept],
        )


def joined(first: Piece, second: Piece) -> Piece:
    """One piece of two that follow each other."""
    return Piece(
        *(np.concatenate([getattr(first, f.name), getattr(second, f.name)]) for f in fields(Piece))
    )


def split_people(piece: Piece, embeddings: ChipEmbeddings, distance: float) -> list[Piece]:
    """Pieces of one person each; their chips are those that were embedded.

    Of the chips taken because a face looked unlike itself, only the least like between two
    regular chips is asked, as long as it agrees with both.
    """
    asked = _first_asked(piece.chip_likeness)
    while True:
        places = np.flatnonzero(asked)
        changes = _changes(embeddings(piece.chip_rows[places]), distance)
        more = asked.copy()
        for i in changes:  # between neighbours that disagree, and beside them, ask all
            more[places[max(i - 2, 0)] : places[min(i + 1, len(places) - 1)] + 1] = True
        if (more == asked).all():
            break
        asked = more
    piece = piece.with_chips(asked)
    if not changes:
        return [piece]
    edges = [int(piece.frames[0])]
    for i in changes:
        edges += _gap(piece, int(piece.chip_frames[i - 1]), int(piece.chip_frames[i]))
    edges.append(int(piece.frames[-1]) + 1)
    parts = [piece.part(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [p for p in parts if len(p.frames)]


def _first_asked(likeness: np.ndarray) -> np.ndarray:
    """Mask of all regular chips (likeness 1) and the least like of each run between them."""
    asked = likeness >= 1
    start = None
    for i in range(len(likeness) + 1):
        if i < len(likeness) and not asked[i]:
            start = i if start is None else start
        elif start is not None:
            asked[start + int(np.argmin(likeness[start:i]))] = True
            start = None
    return asked


def _changes(vectors: np.ndarray, distance: float) -> list[int]:
    """Indices of the chips [M, D] that begin another person."""
    changes, start = [], 0
    for i in range(1, len(vectors)):
        if np.linalg.norm(vectors[i] - vectors[start:i].mean(0)) > distance:
            changes.append(i)
            start = i
    return changes


def _gap(piece: Piece, last: int, first: int) -> tuple[int, int]:
    """End of one person and start of the next, whose chips are at `last` and `first`."""
    rows = np.flatnonzero((piece.frames > last) & (piece.frames <= first))
    if first - last >= CLOSE_CHIPS_FRAMES and len(rows) > 2 and rows[0] > 0:
        steps = np.abs(piece.landmarks[rows] - piece.landmarks[rows - 1]).mean((1, 2))
        low, high = np.sort(steps)[-2:]
        if high > CLEAR_STEP * low:
            cut = int(piece.frames[rows[int(np.argmax(steps))]])
            return cut, cut
    return last + 1, first
