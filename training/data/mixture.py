"""Several corpora by weight: which sample a position is, for training and for evaluation."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from training.data.lengths import ByLength
from training.data.order import generator, key_of, pass_steps, sample_at

MAX_BLOCK = 10_000


@dataclass(frozen=True)
class Row:
    """One row of a global batch: which sample, and where in its corpus's order it stands."""

    position: int
    """Its place among all rows of the run."""
    seed: int
    corpus: int
    """Place of the corpus in the mixture."""
    epoch: int
    """How often the corpus had been gone through."""
    index: int
    """Its position in this epoch of the corpus."""
    number: int
    """Of the sample in the corpus."""
    is_padding: bool = False
    """It fills a step of an evaluation and is to be counted by nobody."""
    is_judged: bool = False
    """It is of an evaluation; its position is none of a training."""

    def random(self, purpose: str = "") -> np.random.Generator:
        """The chance of this row, a stream a purpose; the same wherever the row is read."""
        return generator(self.seed, self.corpus, self.epoch, self.index, purpose)


@dataclass(frozen=True)
class Mixture:
    """The endless rows of a training: `sizes` samples a corpus, in the ratio of `weights`.

    Rows come in blocks. A block holds each corpus as often as its weight says, spread evenly:
    3 : 1 is A A B A, begun at a place drawn for each block, for else a rank that takes every
    fourth row would see one corpus alone. Each corpus has its own cursor and thus its own epochs.
    `is_resampled` draws with replacement instead. Raises ValueError for what cannot be mixed.
    """

    sizes: tuple[int, ...]
    weights: tuple[int, ...]
    seed: int
    is_resampled: bool = False

    def __post_init__(self) -> None:
        if not self.sizes or len(self.sizes) != len(self.weights):
            raise ValueError(f"{len(self.sizes)} corpora have {len(self.weights)} weights")
        if min(self.sizes) < 1:
            raise ValueError(f"corpus {self.sizes.index(min(self.sizes))} has no samples")
        object.__setattr__(self, "weights", whole_weights(self.weights))

    @property
    def pass_rows(self) -> int:
        """Rows of a pass: as many as there are samples. Of one corpus that is its epoch."""
        return sum(self.sizes)

    def row(self, position: int) -> Row:
        """The row at a position, 0 or more."""
        corpus, cursor = self._cursor(position)
        epoch, index = divmod(cursor, self.sizes[corpus])
        size = self.sizes[corpus]
        if self.is_resampled:
            drawn = generator(self.seed, corpus, epoch, index, "sample")
            number = int(drawn.integers(size))
        else:
            number = sample_at(size, self.seed, corpus, epoch, index)
        return Row(position, self.seed, corpus, epoch, index, number)

    def _cursor(self, position: int) -> tuple[int, int]:
        """The corpus of a position, and how many of its rows came before."""
        block, place = divmod(position, sum(self.weights))
        begin = self._begin(block)
        corpus = self._pattern[(begin + place) % len(self._pattern)]
        before = self._counts[begin + place] - self._counts[begin]
        return corpus, block * self.weights[corpus] + int(before[corpus])

    def _begin(self, block: int) -> int:
        if len(self._pattern) == 1:
            return 0
        drawn = int.from_bytes(key_of("block", self.seed, block), "big")
        return drawn % len(self._pattern)

    @cached_property
    def _pattern(self) -> tuple[int, ...]:
        """The corpus of each place of a block: always the one that is furthest behind."""
        length, counts, made = sum(self.weights), [0] * len(self.weights), []
        for place in range(1, length + 1):
            behind = [
                w * place - length * count for w, count in zip(self.weights, counts, strict=True)
            ]
            corpus = behind.index(max(behind))
            counts[corpus] += 1
            made.append(corpus)
        return tuple(made)

    @cached_property
    def _counts(self) -> np.ndarray:
        """Rows of each corpus before each place of two blocks in a row, int64 [2 L + 1, C]."""
        ones = np.eye(len(self.weights), dtype=np.int64)[list(self._pattern * 2)]
        return np.concatenate([np.zeros_like(ones[:1]), ones.cumsum(0)])


def whole_weights(weights: Sequence[int | float | str | Fraction]) -> tuple[int, ...]:
    """The least whole numbers in the ratio of `weights`; .7 is taken as 7/10.

    Raises ValueError for a weight that is not positive, or a block that would be too long.
    """
    exact = [Fraction(str(weight)) for weight in weights]
    if min(exact) <= 0:
        raise ValueError(f"weight {min(exact)} is not positive; leave the corpus out instead")
    scale = math.lcm(*(f.denominator for f in exact))
    whole = [int(f * scale) for f in exact]
    least = tuple(w // math.gcd(*whole) for w in whole)
    if sum(least) > MAX_BLOCK:
        ratio = " : ".join(map(str, least))
        raise ValueError(f"weights {ratio} make blocks of more than {MAX_BLOCK} rows; round them")
    return least


@dataclass(frozen=True)
class TrainingPlan:
    """Steps without end, in passes. `steps_per_pass` makes all passes of one length, for loops
    that ask for it once; else a pass ends with the step that holds its last row. `by_length` puts
    rows of similar lengths into one batch. Raises ValueError where it is of other corpora."""

    mixture: Mixture
    global_batch: int
    steps_per_pass: int | None = None
    by_length: ByLength | None = None

    def __post_init__(self) -> None:
        if self.by_length is not None:
            known = tuple(len(lengths) for lengths in self.by_length.num_frames)
            if known != self.mixture.sizes:
                raise ValueError(
                    f"by_length knows corpora of {known} samples, the mixture has "
                    f"{self.mixture.sizes}: make both of the same corpora, in one order"
                )

    def row(self, position: int) -> Row:
        """The row at a position."""
        if self.by_length is None:
            return self.mixture.row(position)
        row = self.mixture.row(self.by_length.place(self.mixture, position))
        return replace(row, position=position)

    @property
    def grouping(self) -> str | None:
        """What changes the mixture's order, for the state; None if nothing does."""
        return None if self.by_length is None else self.by_length.fingerprint()

    def pass_of(self, step: int, first_row: int) -> range:
        """All steps of the pass that `step` belongs to."""
        if self.steps_per_pass is not None:
            first = step - step % self.steps_per_pass
            return range(first, first + self.steps_per_pass)
        return pass_steps(step, self.mixture.pass_rows, self.global_batch, first_row)

    def after(self, step: int, first_row: int) -> tuple[int, int]:
        """Step and first row to go on with once a pass ended with the one before `step`."""
        return step, first_row


@dataclass(frozen=True)
class EvaluationPlan:
    """One pass over all samples as they are numbered, corpus by corpus, each exactly once.

    The last step is filled with rows that are marked as padding (samples from the beginning).
    """

    mixture: Mixture
    global_batch: int
    grouping = None

    @cached_property
    def _ends(self) -> list[int]:
        return list(itertools.accumulate(self.mixture.sizes))

    def row(self, position: int) -> Row:
        """The row at a position of the pass; padding past the last sample."""
        total = self.mixture.pass_rows
        if position >= total:
            return replace(self.row(position % total), position=position, is_padding=True)
        corpus = bisect_right(self._ends, position)
        number = position - (self._ends[corpus] - self.mixture.sizes[corpus])
        return Row(position, self.mixture.seed, corpus, 0, number, number, is_judged=True)

    def pass_of(self, step: int, first_row: int) -> range:
        """All steps from a row on, which is 0 unless the batch was changed on the way."""
        return range(-(-(self.mixture.pass_rows - first_row) // self.global_batch))

    def after(self, step: int, first_row: int) -> tuple[int, int]:
        """The beginning again."""
        return 0, 0
