"""Which samples a corpus has, by number: what is kept of them in memory, as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from manifests.spans import Span

UTF_8 = ("utf-8", "surrogateescape")
USTAR_NAME = 100
"""Bytes of a name in a tar's header."""


@dataclass(frozen=True)
class Numbering:
    """Which samples a corpus has, in order, and where their bytes lie.

    `shard` int32 [n] indexes `shards`, names below the folder; `keys` bytes [n] in UTF-8;
    `first_byte` and `num_bytes` int64 [n, M], a column for each of `suffixes`, -1 where a sample
    lacks that member.
    """

    shards: tuple[str, ...]
    is_named: tuple[bool, ...]
    """For each shard: whether the header before each member has its name, so that a shard which
    changed is seen by it; long names and others than ASCII may stand in a header of their own."""
    suffixes: tuple[str, ...]
    shard: np.ndarray
    keys: np.ndarray
    first_byte: np.ndarray
    num_bytes: np.ndarray

    @classmethod
    def of_shard(
        cls, shard: str, is_told: bool, samples: Mapping[str, Mapping[str, Span]]
    ) -> Numbering:
        """Of one shard: where the members of each sample lie, by key; `is_told` by an index."""
        names = (span.name for spans in samples.values() for span in spans.values())
        is_named = is_told or all(name.isascii() and len(name) <= USTAR_NAME for name in names)
        suffixes = tuple(sorted({suffix for spans in samples.values() for suffix in spans}))
        absent = Span("", -1, -1)
        rows = [[spans.get(suffix, absent) for suffix in suffixes] for spans in samples.values()]
        places = np.array([[(s.first_byte, s.num_bytes) for s in row] for row in rows], np.int64)
        places = places.reshape(len(samples), len(suffixes), 2)
        keys = np.array([key.encode(*UTF_8) for key in samples], np.bytes_)
        return cls(
            (shard,),
            (is_named,),
            suffixes,
            np.zeros(len(samples), np.int32),
            keys,
            places[..., 0],
            places[..., 1],
        )

    @classmethod
    def joined(cls, parts: Sequence[Numbering]) -> Numbering:
        """Of all shards, from those of one each, in their order."""
        suffixes = tuple(sorted({suffix for part in parts for suffix in part.suffixes}))
        return cls(
            tuple(shard for part in parts for shard in part.shards),
            tuple(named for part in parts for named in part.is_named),
            suffixes,
            np.concatenate([p.shard + np.int32(number) for number, p in enumerate(parts)]),
            np.concatenate([part.keys for part in parts]),
            np.concatenate([part._columns(part.first_byte, suffixes) for part in parts]),
            np.concatenate([part._columns(part.num_bytes, suffixes) for part in parts]),
        )

    def _columns(self, values: np.ndarray, suffixes: Sequence[str]) -> np.ndarray:
        made = np.full((len(self.keys), len(suffixes)), -1, np.int64)
        made[:, [suffixes.index(suffix) for suffix in self.suffixes]] = values
        return made

    def digest(self) -> str:
        """SHA-256 over shard, key and sizes of the samples in their order, hexadecimal; the same
        wherever the folder lies."""
        total = hashlib.sha256("\0".join((*self.shards, "", *self.suffixes)).encode(*UTF_8))
        for array in (self.shard, self.num_bytes):
            total.update(np.ascontiguousarray(array).tobytes())
        total.update(b"\0".join(self.keys.tolist()))
        return total.hexdigest()

    def key(self, number: int) -> str:
        """Of a sample."""
        return self.keys[number].decode(*UTF_8)

    def spans(self, number: int) -> dict[str, Span]:
        """Where the members of a sample lie in its shard, by suffix."""
        key, first, size = self.key(number), self.first_byte[number], self.num_bytes[number]
        return {
            suffix: Span(f"{key}.{suffix}", int(first[column]), int(size[column]))
            for column, suffix in enumerate(self.suffixes)
            if size[column] >= 0
        }
