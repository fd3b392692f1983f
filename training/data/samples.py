"""The samples of a corpus, numbered over all its shards, each read alone with one read (frames of
a repacked corpus with a second one, when a window of them is asked for).

A corpus is a folder of ours or of plain WebDataset tars, or one at an fsspec address. What is kept
in memory of a sample is its key and where its members lie, in arrays (some 100 bytes); of a shard,
its name.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from manifests.paths import as_text
from manifests.plain_words import sentence
from manifests.shards import ShardError, ShardSample, index_name
from manifests.spans import NotThereError
from training.data.node_cache import NodeCache
from training.data.numbering import UTF_8, Numbering
from training.data.places import Place, ShardSpans, checksums
from training.data.remote import place_of
from training.data.wanted import Facts, FactsOf, Wanted, facts_of

ALL = "all"
CACHE_MAX_GB = 50.0


class Samples:
    """A corpus as numbered samples.

    >>> train = Samples.of(Path("my-corpus"), "train", Wanted(min_frames=25))  # doctest: +SKIP
    >>> len(train), train[0].key, train.left_out_sentence()  # doctest: +SKIP
    """

    def __init__(
        self,
        place: Place,
        name: str,
        numbering: Numbering,
        left_out: Counter[str],
        num_frames: np.ndarray | None = None,
    ) -> None:
        self.place, self.name, self._at = place, name, numbering
        self.left_out = left_out
        """How many samples were left out for each reason."""
        self.numbering = numbering.digest()
        """Tells whether two corpora have the same samples in the same order."""
        self.content = _content(place, numbering.shards)
        """SHA-256 over the shards' checksums in `SHA256SUMS`; None where one is not listed."""
        self.num_frames = num_frames
        """Of each sample, int32 [n]; None where it was not asked for (`Wanted.min_frames`)."""

    @classmethod
    def of(
        cls,
        root: Path | str,
        split: str,
        wanted: Wanted | None = None,
        name: str | None = None,
        cache_dir: Path | str | None = None,
        cache_max_gb: float = CACHE_MAX_GB,
    ) -> Samples:
        """`root` is a folder or an fsspec address; `split` train | val | test, or "all".

        What is read from an address is kept in `cache_dir`, a folder on this node's own disk that
        its processes share, up to `cache_max_gb`; a folder is read where it is. Raises ShardError
        for a shard that cannot be read, and ValueError where there are no samples; both say what
        to do.
        """
        cache = None if cache_dir is None else NodeCache.at(cache_dir, cache_max_gb)
        place, wanted, left_out = place_of(root, cache), wanted or Wanted(), Counter[str]()
        names = shards_of_split(place, split)
        facts, parts, lengths = facts_of(place, wanted), [], []
        for shard in place.spans(names):
            kept = _kept(shard, wanted, facts, left_out)
            spans = {key: shard.samples[key] for key in kept}
            parts.append(Numbering.of_shard(shard.shard, shard.is_told, spans))
            lengths += [told.get("num_frames") for told in kept.values()]
        num_frames = np.array(lengths, np.int32) if wanted.min_frames > 0 else None
        made = cls(place, name or place.name, Numbering.joined(parts), left_out, num_frames)
        if not made:
            raise ValueError(
                f"{as_text(place.root)} has no sample of {split} that is wanted: "
                f"{made.left_out_sentence()}"
            )
        return made

    @property
    def root(self) -> Path | str:
        """The folder, or the address."""
        return self.place.root

    def __len__(self) -> int:
        return len(self._at.keys)

    def __getitem__(self, number: int) -> ShardSample:
        """A sample by its number. Raises IndexError, and ShardError where the shard is no longer
        what it was when the samples were numbered."""
        if not 0 <= number < len(self):
            raise IndexError(f"{self.name} has no sample {number}: there are {len(self)}")
        shard = self._at.shard[number]
        name, key = self._at.shards[shard], self._at.key(number)
        path = self.place.at(name)
        try:
            members = self.place.members(name, self._at.spans(number), self._at.is_named[shard])
        except NotThereError:
            raise ShardError(
                f"{path} does not hold {key} where it was said to lie; run `yld verify`, or remove "
                f"{PurePosixPath(index_name(name)).name}, and start again"
            ) from None
        except OSError as error:
            raise ShardError(f"{key} cannot be read: {sentence(error)}") from None
        return ShardSample(key, members, path)

    def key(self, number: int) -> str:
        """A sample's key, without reading it."""
        return self._at.key(number)

    def __iter__(self) -> Iterator[ShardSample]:
        return (self[number] for number in range(len(self)))

    def left_out_sentence(self) -> str:
        """How many were left out and why, the commonest reason first."""
        if not self.left_out:
            return "nothing was left out."
        told = ", ".join(f"{count} {why}" for why, count in self.left_out.most_common())
        return f"{self.left_out.total()} were left out ({told})."


def _kept(
    shard: ShardSpans, wanted: Wanted, facts: FactsOf, left_out: Counter[str]
) -> dict[str, Facts]:
    """The samples of a shard that are wanted, with what is known of them; counts the others by
    why they are not."""
    whole = []
    for key, spans in shard.samples.items():
        if (why := wanted.lacking(spans)) is None:
            whole.append(key)
        else:
            left_out[why] += 1
    kept: dict[str, Facts] = {}
    for key, told in zip(whole, facts(shard, whole), strict=True):
        if (why := wanted.refusal(told)) is None:
            kept[key] = told
        else:
            left_out[why] += 1
    return kept


def shards_of_split(place: Place | Path | str, split: str) -> list[str]:
    """Names of a split's shards below a place, sorted. Raises ValueError naming what there is.

    Looked for in `shards/SPLIT/` (ours), `SPLIT/`, and as `SPLIT-*.tar`.
    """
    place = place_of(place) if isinstance(place, (Path, str)) else place
    splits = _splits(place.shards())
    if not splits:
        raise ValueError(f"{as_text(place.root)} has no shards (*.tar); build one with `yld build`")
    if split == ALL:
        return sorted(name for names in splits.values() for name in names)
    if split not in splits:
        there = ", ".join(f"{name} ({len(names)} shards)" for name, names in splits.items())
        raise ValueError(
            f"{as_text(place.root)} has no part {split}: there are {there}. "
            f'Ask for one of them, or for "{ALL}"'
        )
    return splits[split]


def _splits(shards: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in shards:
        path = PurePosixPath(name)
        inner = path.relative_to("shards") if path.parts[0] == "shards" else path
        is_flat = len(inner.parts) == 1
        part = inner.stem.rpartition("-")[0] or ALL if is_flat else inner.parent.name
        found.setdefault(part, []).append(name)
    return found


def _content(place: Place, shards: Sequence[str]) -> str | None:
    """From the corpus's own list, for hashing what is read would read all of it."""
    sums = dict(checksums(place.sums()))
    if not all(shard in sums for shard in shards):
        return None
    return hashlib.sha256("\n".join(sums[shard] for shard in shards).encode(*UTF_8)).hexdigest()
