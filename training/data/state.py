"""Where a training stands in its data: {seed, step, corpora and mixture}, as plain JSON.

The state knows nothing of ranks and workers, so that any number of them goes on from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

VERSION = 1
RESTART = "or begin anew: leave the loader's state out (weights can be loaded without it)"


class StateError(ValueError):
    """A state that does not fit these data; the message says what differs and the way out."""


@dataclass(frozen=True)
class CorpusPrint:
    """What must be the same of a corpus for its order to be the same."""

    name: str
    """For messages; a folder may be renamed."""
    weight: int
    num_samples: int
    numbering: str
    """SHA-256 over shards, keys and sizes in their order."""
    content: str | None
    """SHA-256 over the shards' checksums; None where they are not listed."""

    def difference(self, now: CorpusPrint) -> str | None:
        """What is another thing now; None if nothing is."""
        if self.num_samples != now.num_samples:
            return f"had {self.num_samples} samples and has {now.num_samples}"
        if self.numbering != now.numbering:
            return "has other samples, or the same in another order"
        if self.content and now.content and self.content != now.content:
            return "has shards with other checksums"
        if self.weight != now.weight:
            return f"had weight {self.weight} and has {now.weight}"
        return None


@dataclass(frozen=True)
class LoaderState:
    """After `step` steps from row `first_row` on, `global_batch` rows each."""

    seed: int
    step: int
    global_batch: int
    corpora: tuple[CorpusPrint, ...]
    is_resampled: bool = False
    first_row: int = 0
    """Where step 0 begins: not 0 only after `with_global_batch`."""
    by_length: str | None = None
    """How rows of similar lengths are put together (`ByLength.fingerprint`); None: not at all."""

    @property
    def next_row(self) -> int:
        """The first row that no step has had."""
        return self.first_row + self.step * self.global_batch

    @property
    def next_pass_row(self) -> int:
        """The first row of the next pass (of one corpus: epoch); `next_row` where one begins."""
        rows = sum(corpus.num_samples for corpus in self.corpora)
        return -(-self.next_row // rows) * rows

    def with_global_batch(self, global_batch: int, at_next_epoch: bool = False) -> LoaderState:
        """Going on with batches of another size, whose steps count from 0.

        With `at_next_epoch` it goes on at the first row of the next epoch (of a mixture: the next
        pass), and the rest of this one is left out; else at the next row, so that no sample is
        lost or repeated. The rows are the same for any size; the batches are those of a run that
        had this size from the start only if a step of its begins at that row too.
        """
        first_row = self.next_pass_row if at_next_epoch else self.next_row
        return replace(self, first_row=first_row, step=0, global_batch=global_batch)

    def check(self, now: LoaderState) -> None:
        """Raises StateError unless the loader whose state is `now` goes on exactly from here."""
        self._check_corpora(now.corpora)
        for field in ("seed", "is_resampled", "by_length"):
            had, has = getattr(self, field), getattr(now, field)
            if had != has:
                raise StateError(f"the state has {field}={had}, not {has}: give {had}, {RESTART}")
        if self.global_batch != now.global_batch:
            raise StateError(
                f"the state counts steps of {self.global_batch} rows over all ranks, not "
                f"{now.global_batch}: give global_batch={self.global_batch} (ranks, workers and "
                f"accumulation may change), or change it by name: "
                f"LoaderState.from_json(state).with_global_batch({now.global_batch}, "
                "at_next_epoch=True).to_json() begins the next epoch with it and leaves out the "
                "rest of this one; without at_next_epoch it goes on at the next row"
            )

    def _check_corpora(self, now: Sequence[CorpusPrint]) -> None:
        had, has = ([c.name for c in corpora] for corpora in (self.corpora, now))
        if len(had) != len(has):
            raise StateError(
                f"the state is of the corpora {', '.join(had)}, not of {', '.join(has)}: "
                f"give those, {RESTART}"
            )
        for before, after in zip(self.corpora, now, strict=True):
            if difference := before.difference(after):
                name = before.name
                if after.name != name:
                    name = f"{after.name}, which stands where {name} stood,"
                raise StateError(
                    f"the corpus {name} {difference} since the state was written: give the corpora "
                    f"as they were and in their order, {RESTART}"
                )

    def to_json(self) -> dict[str, object]:
        """Plain data: numbers, texts, lists, mappings."""
        told = asdict(self)
        told["corpora"] = [asdict(corpus) for corpus in self.corpora]
        return {"version": VERSION, **told}

    @classmethod
    def from_json(cls, told: Mapping[str, object]) -> LoaderState:
        """Raises StateError for what `to_json` did not write."""
        content = dict(told)
        version = content.pop("version", None)
        if version != VERSION:
            raise StateError(
                f"the loader's state has version {version}, not {VERSION}: it is another "
                f"program's, or another release's; use that, {RESTART}"
            )
        try:
            corpora = tuple(CorpusPrint(**corpus) for corpus in content.pop("corpora"))  # type: ignore[attr-defined]
            made = cls(corpora=corpora, **content)  # type: ignore[arg-type]
        except (TypeError, KeyError) as error:
            raise StateError(f"the loader's state is damaged ({error}); {RESTART}") from None
        counts = (made.seed, made.step, made.first_row, made.global_batch)
        if not all(type(n) is int for n in counts) or min(counts[1:]) < 0 or made.global_batch < 1:
            raise StateError(f"the loader's state is damaged (its counts are {counts}); {RESTART}")
        return made
