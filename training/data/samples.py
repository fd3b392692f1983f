"""The samples of a corpus, numbered over all its shards, each read alone with one read.

A corpus is a folder of ours or one of plain WebDataset tars. What is kept in memory of a sample
is its key and where its members lie, in arrays (some 100 bytes); of a shard, its name.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from manifests.paths import as_text
from manifests.plain_words import sentence
from manifests.shards import (
    NotThereError,
    SampleIndex,
    ShardError,
    ShardSample,
    Span,
    index_name,
    read_members,
)
from training.data.wanted import Wanted, facts_of

ALL = "all"


@dataclass(frozen=True)
class Numbering:
    """Which samples a corpus has, in order, and where their bytes lie.

    `shard` int32 [n] indexes `shards`, names below the folder; `keys` bytes [n] in UTF-8;
    `first_byte` and `num_bytes` int64 [n, M], a column for each of `suffixes`, -1 where a sample
    lacks that member.
    """

    shards: tuple[str, ...]
    is_told: tuple[bool, ...]
    """For each shard: whether an index told where its samples lie, and not the tar itself."""
    suffixes: tuple[str, ...]
    shard: np.ndarray
    keys: np.ndarray
    first_byte: np.ndarray
    num_bytes: np.ndarray

    def digest(self) -> str:
        """SHA-256 over shard, key and sizes of the samples in their order, hexadecimal; the same
        wherever the folder lies."""
        total = hashlib.sha256("\0".join((*self.shards, "", *self.suffixes)).encode(*UTF_8))
        for array in (self.shard, self.num_bytes):
            total.update(np.ascontiguousarray(array).tobytes())
        total.update(b"\0".join(self.keys.tolist()))
        return total.hexdigest()


UTF_8 = ("utf-8", "surrogateescape")


class Samples:
    """A corpus as numbered samples.

    >>> train = Samples.of(Path("my-corpus"), "train", Wanted(min_frames=25))  # doctest: +SKIP
    >>> len(train), train[0].key, train.left_out_sentence()  # doctest: +SKIP
    """

    def __init__(self, root: Path, name: str, numbering: Numbering, left_out: Counter[str]) -> None:
        self.root, self.name, self._at = root, name, numbering
        self.left_out = left_out
        """How many samples were left out for each reason."""
        self.numbering = numbering.digest()
        """Tells whether two corpora have the same samples in the same order."""
        self.content = _content(root, numbering.shards)
        """SHA-256 over the shards' checksums in `SHA256SUMS`; None where one is not listed."""

    @classmethod
    def of(
        cls, root: Path | str, split: str, wanted: Wanted | None = None, name: str | None = None
    ) -> Samples:
        """`split` is train | val | test, or "all". Raises ShardError for a shard that cannot be
        read, and ValueError where there are no samples; both say what to do."""
        root, wanted, left_out = Path(root), wanted or Wanted(), Counter[str]()
        shards = shards_of_split(root, split)
        facts = facts_of(root, wanted)
        kept: list[tuple[int, str, dict[str, Span]]] = []
        is_told = []
        for number, shard in enumerate(shards):
            index = SampleIndex.of(root / shard)
            is_told.append(index.is_told)
            for key in index.keys:
                spans = dict(index.spans(key))
                why = wanted.refusal(spans, partial(facts, key, index))
                if why is None:
                    kept.append((number, key, spans))
                else:
                    left_out[why] += 1
        made = cls(root, name or root.resolve().name, _numbered(shards, is_told, kept), left_out)
        if not kept:
            raise ValueError(
                f"{as_text(root)} has no sample of {split} that is wanted: "
                f"{made.left_out_sentence()}"
            )
        return made

    def __len__(self) -> int:
        return len(self._at.keys)

    def __getitem__(self, number: int) -> ShardSample:
        """A sample by its number. Raises IndexError, and ShardError where the shard is no longer
        what it was when the samples were numbered."""
        if not 0 <= number < len(self):
            raise IndexError(f"{self.name} has no sample {number}: there are {len(self)}")
        shard = self._at.shard[number]
        path = self.root / self._at.shards[shard]
        key = self._at.keys[number].decode(*UTF_8)
        try:
            members = read_members(path, self._spans(number, key), self._at.is_told[shard])
        except NotThereError:
            raise ShardError(
                f"{path} does not hold {key} where it was said to lie; run `yld verify`, or remove "
                f"{index_name(path.name)}, and start again"
            ) from None
        except OSError as error:
            raise ShardError(f"{key} cannot be read: {sentence(error)}") from None
        return ShardSample(key, members, str(path))

    def __iter__(self) -> Iterator[ShardSample]:
        return (self[number] for number in range(len(self)))

    def left_out_sentence(self) -> str:
        """How many were left out and why, the commonest reason first."""
        if not self.left_out:
            return "nothing was left out."
        told = ", ".join(f"{count} {why}" for why, count in self.left_out.most_common())
        return f"{self.left_out.total()} were left out ({told})."

    def _spans(self, number: int, key: str) -> dict[str, Span]:
        first, size = self._at.first_byte[number], self._at.num_bytes[number]
        return {
            suffix: Span(f"{key}.{suffix}", int(first[column]), int(size[column]))
            for column, suffix in enumerate(self._at.suffixes)
            if size[column] >= 0
        }


def shards_of_split(root: Path, split: str) -> list[str]:
    """Names of a split's shards below `root`, sorted. Raises ValueError naming what there is.

    Looked for in `shards/SPLIT/` (ours), `SPLIT/`, and as `SPLIT-*.tar`.
    """
    splits = _splits(root)
    if not splits:
        raise ValueError(f"{as_text(root)} has no shards (*.tar); build one with `yld build`")
    if split == ALL:
        return sorted(name for names in splits.values() for name in names)
    if split not in splits:
        there = ", ".join(f"{name} ({len(names)} shards)" for name, names in splits.items())
        raise ValueError(
            f"{as_text(root)} has no part {split}: there are {there}. "
            f'Ask for one of them, or for "{ALL}"'
        )
    return splits[split]


def _splits(root: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    inner = root / "shards" if (root / "shards").is_dir() else root
    for path in sorted((*inner.glob("*/*.tar"), *inner.glob("*.tar"))):
        part = path.parent.name if path.parent != inner else path.stem.rpartition("-")[0] or ALL
        found.setdefault(part, []).append(path.relative_to(root).as_posix())
    return found


def _numbered(
    shards: Sequence[str], is_told: Sequence[bool], kept: list[tuple[int, str, dict[str, Span]]]
) -> Numbering:
    suffixes = tuple(sorted({suffix for _, _, spans in kept for suffix in spans}))
    absent = Span("", -1, -1)
    told = [[spans.get(suffix, absent) for suffix in suffixes] for _, _, spans in kept]
    return Numbering(
        tuple(shards),
        tuple(is_told),
        suffixes,
        np.array([shard for shard, _, _ in kept], np.int32),
        np.array([key.encode(*UTF_8) for _, key, _ in kept]),
        _table(told, "first_byte"),
        _table(told, "num_bytes"),
    )


def _table(told: Iterable[Iterable[Span]], field: str) -> np.ndarray:
    return np.array([[getattr(span, field) for span in row] for row in told], np.int64)


def _content(root: Path, shards: Sequence[str]) -> str | None:
    """From the corpus's own list, for hashing what is read would read all of it."""
    try:
        lines = (root / "SHA256SUMS").read_bytes().decode(*UTF_8).splitlines()
    except OSError:
        return None
    sums = {
        name.lstrip("*"): digest for digest, _, name in (line.partition("  ") for line in lines)
    }
    if not all(shard in sums for shard in shards):
        return None
    return hashlib.sha256("\n".join(sums[shard] for shard in shards).encode(*UTF_8)).hexdigest()
