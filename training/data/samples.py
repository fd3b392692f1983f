"""The samples of a corpus, numbered over all its shards, each read alone with one read (frames of
a repacked corpus with a second one, when a window of them is asked for).

A corpus is a folder of ours or one of plain WebDataset tars. What is kept in memory of a sample
is its key and where its members lie, in arrays (some 100 bytes); of a shard, its name.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from manifests.frames import read_sample
from manifests.paths import as_text
from manifests.plain_words import sentence
from manifests.shards import (
    NotThereError,
    SampleIndex,
    ShardError,
    ShardSample,
    Span,
    index_name,
)
from training.data.numbering import UTF_8, Numbering
from training.data.wanted import Wanted, facts_of

ALL = "all"


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
        facts, parts = facts_of(root, wanted), []
        for shard in shards_of_split(root, split):
            index = SampleIndex.of(root / shard)
            kept: dict[str, Mapping[str, Span]] = {}
            for key in index.keys:
                spans = index.spans(key)
                why = wanted.refusal(spans, partial(facts, key, index))
                if why is None:
                    kept[key] = spans
                else:
                    left_out[why] += 1
            parts.append(Numbering.of_shard(shard, index.is_told, kept))
        made = cls(root, name or root.resolve().name, Numbering.joined(parts), left_out)
        if not made:
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
        key = self._at.key(number)
        try:
            members = read_sample(path, self._at.spans(number), self._at.is_named[shard])
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
