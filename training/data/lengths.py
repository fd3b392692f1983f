"""Batches of similar lengths: positions change places within bounded windows, and nothing else.

Which sample comes at a position stays a function of (seed, position), whoever asks, and of the
lengths, which a corpus of the same content has too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from training.data.order import Permutation, key_of
from training.data.samples import Samples

if TYPE_CHECKING:
    from training.data.mixture import Mixture

WINDOWS_KEPT = 4


@dataclass(frozen=True, eq=False)
class ByLength:
    """Rows sorted by their number of frames within windows, in buckets of a batch each.

    A window is `window_buckets` buckets of `bucket_rows` positions. Its rows, from the shortest to
    the longest, fill its buckets, which stand in an order drawn for each window, so that long
    batches come at any time. Windows end with a pass, so every pass has the rows that it had; the
    bucket in which one pass ends and the next begins is filled from both.
    """

    num_frames: tuple[np.ndarray, ...]
    """int32 [samples] of each corpus of the mixture."""
    bucket_rows: int
    """As many as the global batch has, or a multiple."""
    window_buckets: int = 32
    """More make the lengths in a batch more alike, and the order less random."""
    _windows: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.bucket_rows < 1 or self.window_buckets < 1:
            raise ValueError(
                f"{self.window_buckets} buckets of {self.bucket_rows} rows hold nothing: give 1 or "
                "more of each"
            )

    @classmethod
    def of(cls, corpora: Sequence[Samples], bucket_rows: int, window_buckets: int = 32) -> ByLength:
        """Of the corpora of a mixture. Raises ValueError where lengths are not known."""
        lengths = []
        for corpus in corpora:
            if corpus.num_frames is None:
                raise ValueError(
                    f"the lengths of {corpus.name} are not known: ask for them with "
                    "Samples.of(..., Wanted(min_frames=1))"
                )
            lengths.append(corpus.num_frames)
        return cls(tuple(lengths), bucket_rows, window_buckets)

    def __reduce__(self) -> tuple[type[ByLength], tuple[tuple[np.ndarray, ...], int, int]]:
        return ByLength, (self.num_frames, self.bucket_rows, self.window_buckets)

    def fingerprint(self) -> str:
        """Tells whether two make the same order of a mixture."""
        total = hashlib.sha256()
        for lengths in self.num_frames:
            total.update(lengths.astype("<i4").tobytes())
        return (
            f"buckets of {self.bucket_rows} rows, {self.window_buckets} a window, lengths "
            f"{total.hexdigest()[:16]}"
        )

    def place(self, mixture: Mixture, position: int) -> int:
        """The position of the mixture whose row comes at `position`."""
        number, window_rows = position // mixture.pass_rows, self.bucket_rows * self.window_buckets
        window = position - position % window_rows
        first = max(window, number * mixture.pass_rows)
        if first not in self._windows:
            end = min(window + window_rows, (number + 1) * mixture.pass_rows)
            if len(self._windows) >= WINDOWS_KEPT:
                self._windows.clear()
            self._windows[first] = self._order(mixture, first, end)
        return first + int(self._windows[first][position - first])

    def _order(self, mixture: Mixture, first: int, end: int) -> np.ndarray:
        """Which place of a window comes at each of its places, int64 [end - first]."""
        rows = [mixture.row(position) for position in range(first, end)]
        lengths = np.array([self.num_frames[row.corpus][row.number] for row in rows])
        ranked = np.argsort(lengths, kind="stable")
        grid = range(first - first % self.bucket_rows + self.bucket_rows, end, self.bucket_rows)
        buckets = np.split(np.arange(end - first), [border - first for border in grid])
        drawn = Permutation(len(buckets), key_of("lengths", mixture.seed, first))
        order, taken = np.empty_like(ranked), 0
        for bucket in (buckets[drawn(place)] for place in range(len(buckets))):
            order[bucket] = ranked[taken : taken + len(bucket)]
            taken += len(bucket)
        return order
