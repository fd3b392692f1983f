"""Batches of a rank, step by step, by any number of workers, with a state that goes on exactly.

The names `state_dict` and `load_state_dict` are Lightning's, which keeps such a loader's state in
its checkpoints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from manifests.shards import ShardError, ShardSample
from training.data.collate import Example, collate
from training.data.mixture import EvaluationPlan, Mixture, Row, TrainingPlan, whole_weights
from training.data.order import rank_positions
from training.data.samples import Samples
from training.data.state import CorpusPrint, LoaderState
from training.data.threads import begin_worker, deaf_to_ctrl_c

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader

Decode = Callable[[ShardSample, Row], Example]
"""What a model makes of a sample. Chance comes from `row.random(purpose)` alone."""
Batch = dict[str, "Tensor | list[str]"]


@dataclass(frozen=True)
class Share:
    """Which rows of each global batch this process takes, and how it reads them."""

    rank: int = 0
    world_size: int = 1
    num_workers: int = 0
    """Processes that decode; 0 decodes in this one. Each works on a step of its own."""
    steps_ahead: int = 2
    """Steps that each worker may have ready."""
    pin_memory: bool = False
    start_method: str = "spawn"
    """How workers begin: spawn | forkserver | fork. A program with threads (Ray's, ONNX's, a GPU's)
    that forks can give a worker a lock that nobody opens again: it waits for ever."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} is not in 0 .. {self.world_size - 1}")


class Loader:
    """An iterable of batches (`collate` says what is in one); one `iter` is one pass.

    An `iter` goes on after the last batch that was given out, also in the middle of a pass, and a
    batch counts as done when it is given out, whatever workers have read ahead. There is one
    iterator at a time. Raises ShardError, at any number of workers, for a sample that is damaged.
    """

    def __init__(
        self,
        corpora: Sequence[Samples],
        decode: Decode,
        plan: TrainingPlan | EvaluationPlan,
        share: Share | None = None,
    ) -> None:
        self.plan, self.share = plan, share or Share()
        if plan.global_batch < self.share.world_size:
            raise ValueError(
                f"a global batch of {plan.global_batch} rows leaves nothing for some of "
                f"{self.share.world_size} ranks; give at least {self.share.world_size}"
            )
        self._reader = _Reader(tuple(corpora), decode, plan, self.share)
        self._steps = _Steps()
        self._torch_loader: DataLoader | None = None
        self._state = LoaderState(
            seed=plan.mixture.seed,
            step=0,
            global_batch=plan.global_batch,
            corpora=_prints(corpora, plan.mixture),
            is_resampled=plan.mixture.is_resampled,
            by_length=plan.grouping,
        )

    @property
    def step(self) -> int:
        """Steps done: the number of the next one."""
        return self._state.step

    def __len__(self) -> int:
        """Steps of the whole pass that the next batch belongs to."""
        return len(self._pass())

    def __iter__(self) -> Iterator[Batch]:
        steps = range(self._state.step, self._pass().stop)
        first_row, rows = self._state.first_row, self._state.global_batch
        self._steps.first_rows = range(
            first_row + steps.start * rows, first_row + steps.stop * rows, rows
        )
        for step, batch in zip(steps, self._batches(), strict=True):
            if isinstance(batch, _Broken):
                raise ShardError(batch.message)
            self._done(step, is_last=step + 1 == steps.stop)
            yield batch

    def _done(self, step: int, is_last: bool) -> None:
        then, first_row = step + 1, self._state.first_row
        if is_last:
            then, first_row = self.plan.after(then, first_row)
        self._state = replace(self._state, step=then, first_row=first_row)

    def state_dict(self) -> dict[str, object]:
        """{seed, step, corpora and mixture} as plain JSON; the same at every rank."""
        return self._state.to_json()

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a state, at any number of ranks and workers. Raises StateError where other
        corpora, weights or batches would make another order of it."""
        loaded = LoaderState.from_json(state)
        loaded.check(self._state)
        step, first_row = loaded.step, loaded.first_row
        if not self.plan.pass_of(step, first_row):  # an evaluation's next pass is its first again
            step, first_row = self.plan.after(step, first_row)
        self._state = replace(self._state, step=step, first_row=first_row)

    def close(self) -> None:
        """End the workers; the next `iter` begins new ones."""
        self._torch_loader = None

    def _pass(self) -> range:
        return self.plan.pass_of(self._state.step, self._state.first_row)

    def _batches(self) -> Iterator[Batch | _Broken]:
        import torch
        from torch.utils.data import DataLoader

        if self._torch_loader is None:
            has_workers = self.share.num_workers > 0
            self._torch_loader = DataLoader(
                self._reader,  # type: ignore[arg-type]  # it has what is asked of a dataset
                batch_size=None,
                sampler=self._steps,
                num_workers=self.share.num_workers,
                collate_fn=_as_it_is,
                pin_memory=self.share.pin_memory,
                prefetch_factor=self.share.steps_ahead if has_workers else None,
                persistent_workers=has_workers,
                worker_init_fn=partial(begin_worker, os.getpid()) if has_workers else None,
                multiprocessing_context=self.share.start_method if has_workers else None,
                # Each `iter` draws a number; from torch's own generator it would change what a
                # model draws after a resume.
                generator=torch.Generator(),
            )
        with deaf_to_ctrl_c():
            return iter(self._torch_loader)


class _Steps:
    """The first rows of the steps to come, as torch asks a sampler for them."""

    def __init__(self) -> None:
        self.first_rows: Sequence[int] = ()

    def __iter__(self) -> Iterator[int]:
        return iter(self.first_rows)

    def __len__(self) -> int:
        return len(self.first_rows)


@dataclass(frozen=True)
class _Broken:
    """An error as a value: torch makes others of those that are raised in workers."""

    message: str


@dataclass(frozen=True)
class _Reader:
    """A rank's rows of a step, read and decoded; what is sent to the workers."""

    corpora: tuple[Samples, ...]
    decode: Decode
    plan: TrainingPlan | EvaluationPlan
    share: Share

    def __getitem__(self, first_row: int) -> Batch | _Broken:
        positions = rank_positions(
            first_row, self.plan.global_batch, self.share.rank, self.share.world_size
        )
        rows = [self.plan.row(position) for position in positions]
        try:
            read = [self._read(row) for row in rows if not row.is_padding]
            read = read or [self._read(rows[0])]
        except ShardError as error:
            return _Broken(str(error))
        # Padding stands behind the real rows, and any sample will do for it.
        read += [read[0]] * (len(rows) - len(read))
        return _tensors(collate(rows, [key for key, _ in read], [example for _, example in read]))

    def _read(self, row: Row) -> tuple[str, Example]:
        sample = self.corpora[row.corpus][row.number]
        return sample.key, self.decode(sample, row)


def _as_it_is(batch: object) -> object:
    return batch


def _tensors(batch: Mapping[str, np.ndarray | list[str]]) -> Batch:
    import torch

    return {
        name: column if isinstance(column, list) else torch.from_numpy(column)
        for name, column in batch.items()
    }


def _prints(corpora: Sequence[Samples], mixture: Mixture) -> tuple[CorpusPrint, ...]:
    return tuple(
        CorpusPrint(c.name, weight, len(c), c.numbering, c.content)
        for c, weight in zip(corpora, mixture.weights, strict=True)
    )


def mixture_of(
    corpora: Sequence[Samples],
    weights: Sequence[int | float | str | Fraction] | None = None,
    seed: int = 0,
    is_resampled: bool = False,
) -> Mixture:
    """The mixture of some corpora; several need weights. Raises ValueError."""
    if weights is None and len(corpora) > 1:
        names = ", ".join(corpus.name for corpus in corpora)
        raise ValueError(f"say by which weights {names} are to be mixed, such as 3 and 1")
    sizes = tuple(len(corpus) for corpus in corpora)
    return Mixture(sizes, whole_weights(weights or [1]), seed, is_resampled)
