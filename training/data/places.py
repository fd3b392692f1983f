"""Where a corpus lies: what is asked of any place, and a folder; `remote.py` has addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from manifests.corpus import Corpus
from manifests.frames import read_sample
from manifests.shards import SampleIndex
from manifests.spans import Span

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class ShardSpans:
    """A shard's samples, and where the members of each lie."""

    shard: str
    """Its name below the corpus."""
    samples: Mapping[str, Mapping[str, Span]]
    is_told: bool
    """By an index; the tar may be another one, which its headers then tell."""


class Place(Protocol):
    """What is asked of a folder and of an address. Names are relative to the corpus."""

    @property
    def root(self) -> Path | str:
        """The folder, or the address."""

    @property
    def name(self) -> str:
        """What the corpus is called, if nothing else is said."""

    def shards(self) -> list[str]:
        """Names of all tars in `shards/*/`, `*/` or the corpus itself, sorted."""

    def spans(self, shards: Sequence[str]) -> Iterator[ShardSpans]:
        """Of each shard, in this order. Raises ShardError."""

    def members(self, shard: str, spans: Mapping[str, Span], is_told: bool) -> Mapping[str, bytes]:
        """Members of a sample; frames of a repacked one are read when they are asked for. Raises
        NotThereError, OSError and ShardError."""

    def several(
        self, shard: str, spans: Sequence[Mapping[str, Span]], is_told: bool
    ) -> list[Mapping[str, bytes]]:
        """Members of many samples, for what is asked of them before they are chosen."""

    def at(self, shard: str) -> str:
        """The path or address of a shard."""

    def sums(self) -> bytes | None:
        """The list of checksums; None where there is none."""

    def table(self, table: str, columns: Sequence[str]) -> Iterator[tuple[object, ...]] | None:
        """Some columns of a table of the corpus; None where it has no tables."""


@dataclass(frozen=True)
class Folder:
    """A corpus in a folder."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.resolve().name

    def shards(self) -> list[str]:
        inner = self.root / "shards" if (self.root / "shards").is_dir() else self.root
        found = sorted((*inner.glob("*/*.tar"), *inner.glob("*.tar")))
        return [path.relative_to(self.root).as_posix() for path in found]

    def spans(self, shards: Sequence[str]) -> Iterator[ShardSpans]:
        for shard in shards:
            index = SampleIndex.of(self.root / shard)
            samples = {key: index.spans(key) for key in index.keys}
            yield ShardSpans(shard, samples, index.is_told)

    def members(self, shard: str, spans: Mapping[str, Span], is_told: bool) -> Mapping[str, bytes]:
        return read_sample(self.root / shard, spans, is_told)

    def several(
        self, shard: str, spans: Sequence[Mapping[str, Span]], is_told: bool
    ) -> list[Mapping[str, bytes]]:
        return [self.members(shard, each, is_told) for each in spans]

    def at(self, shard: str) -> str:
        return str(self.root / shard)

    def sums(self) -> bytes | None:
        try:
            return (self.root / SUMS).read_bytes()
        except OSError:
            return None

    def table(self, table: str, columns: Sequence[str]) -> Iterator[tuple[object, ...]] | None:
        if not (self.root / "manifests").is_dir():
            return None
        return Corpus(self.root).columns(table, columns)


def checksums(content: bytes | None) -> Iterator[tuple[str, str]]:
    """Names and digests of a list of checksums."""
    for line in (content or b"").decode("utf-8", "surrogateescape").splitlines():
        digest, _, name = line.partition("  ")
        yield name.lstrip("*"), digest
