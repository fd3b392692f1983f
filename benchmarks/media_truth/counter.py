"""Pictures that say which they are: a talking portrait with its frame number burnt in.

The picture is a grid of 16 x 12 cells. Its two lowest rows hold 32 bits: 12 of the number, the
same inverted, and 8 that are fixed. A picture that is turned or mirrored has other things there
and is not read, so that reading the number also proves that the picture stands upright.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from benchmarks.media_truth.marks import spoken
from pipeline.demo.portraits import load_portraits, render

COLUMNS, ROWS = 16, 12
NUMBER_BITS = 12
FIXED = 0b11001010
DARK, BRIGHT = 36, 216
MIN_CONTRAST = 25
MOUTHS = 10
MAX_OPENING = 0.4

ORIENTATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upright": lambda p: p,
    "rotated 90": lambda p: np.rot90(p, -1),
    "rotated 180": lambda p: np.rot90(p, 2),
    "rotated 270": lambda p: np.rot90(p, 1),
    "mirrored": lambda p: p[:, ::-1],
    "upside down mirrored": lambda p: p[::-1],
    "transposed": lambda p: p.swapaxes(0, 1),
    "transposed across": lambda p: np.rot90(p.swapaxes(0, 1), 2),
}
"""What turns an upright picture into the named one (clockwise)."""


@cache
def talking_heads(width_px: int, height_px: int) -> list[np.ndarray]:
    """The portrait with its mouth from shut to open: uint8 [H, W, 3] RGB each."""
    openings = np.linspace(0, MAX_OPENING, MOUTHS)
    return [
        cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA)
        for picture in _full_size(tuple(openings))
    ]


@cache
def _full_size(openings: tuple[float, ...]) -> list[np.ndarray]:
    portrait = load_portraits()[0]
    return [render(portrait, opening, 1.0, (0.0, 0.0, 0.0)) for opening in openings]


def draw(number: int, time_s: float, width_px: int, height_px: int) -> np.ndarray:
    """Picture `number` as it stands at `time_s` of the speech: uint8 [H, W, 3] RGB."""
    opening, _ = spoken().mouth_at(time_s)
    mouth = min(MOUTHS - 1, round(opening / MAX_OPENING * (MOUTHS - 1)))
    picture = talking_heads(width_px, height_px)[mouth].copy()
    xs = np.linspace(0, width_px, COLUMNS + 1).round().astype(int)
    ys = np.linspace(0, height_px, ROWS + 1).round().astype(int)
    for place, bit in enumerate(bits_of(number)):
        row, column = ROWS - 2 + place // COLUMNS, place % COLUMNS
        picture[ys[row] : ys[row + 1], xs[column] : xs[column + 1]] = BRIGHT if bit else DARK
    return picture


def bits_of(number: int) -> list[int]:
    """The 32 bits of a frame number. Raises ValueError beyond 4095."""
    if not 0 <= number < 1 << NUMBER_BITS:
        raise ValueError(f"frame number {number} does not fit into {NUMBER_BITS} bits")
    inverted = number ^ ((1 << NUMBER_BITS) - 1)
    word = (number << 20) | (inverted << 8) | FIXED
    return [(word >> (31 - i)) & 1 for i in range(32)]


def read(picture: np.ndarray) -> int | None:
    """The number in an upright picture, uint8 [H, W] or [H, W, 3] of any size; None if there
    is none, or if the picture does not stand upright."""
    if picture.ndim == 3:
        picture = picture[..., 1]
    cells = cv2.resize(
        np.ascontiguousarray(picture), (COLUMNS * 4, ROWS * 4), interpolation=cv2.INTER_AREA
    ).reshape(ROWS, 4, COLUMNS, 4)
    means = cells[-2:, 1:3, :, 1:3].astype(np.float32).mean((1, 3)).ravel()
    low, high = float(means.min()), float(means.max())
    if high - low < MIN_CONTRAST:
        return None
    word = 0
    for bright in means > (low + high) / 2:
        word = (word << 1) | int(bright)
    number, inverted = word >> 20, (word >> 8) & 0xFFF
    if word & 0xFF != FIXED or number ^ inverted != 0xFFF:
        return None
    return number


def orientation(picture: np.ndarray) -> str | None:
    """How a picture stands: a key of ORIENTATIONS, None where no number is read at all."""
    undo = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}
    for name in ORIENTATIONS:
        if read(ORIENTATIONS[undo.get(name, name)](picture)) is not None:
            return name
    return None
