"""A corpus at an fsspec address, read by range requests.

At an address an index is one request, with one for the tar's last 512 bytes to see that it fits; a
sample is one request, its members being contiguous; the frames of a repacked one are another, for
the window that is asked for. A shard without an index that fits is indexed by requests for its
headers, some for each sample. The node's cache keeps all of this.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from manifests.address import is_remote, local_path
from manifests.corpus import column_rows
from manifests.frames import sample_from
from manifests.shards import ShardError, index_name
from manifests.spans import (
    HEADER_BYTES,
    NotThereError,
    Span,
    end_of_spans,
    index_text,
    spans_of_index,
    spans_of_tar,
    spans_of_text,
)
from training.data.node_cache import NodeCache
from training.data.object_store import ObjectStore, StoredFile
from training.data.places import SUMS, Folder, Place, ShardSpans

THREADS = 16
"""Requests under way at a time while a corpus is looked at."""
HEADERS_BYTES = 16_384
"""Of a request for headers: small members that follow each other take one."""


@dataclass(frozen=True)
class Address:
    """A corpus at an address: what was listed there once, and how it is read."""

    store: ObjectStore
    files: Mapping[str, StoredFile]
    """Shards, indexes and `SHA256SUMS`, by name."""
    cache: NodeCache | None

    @classmethod
    def of(cls, address: str, cache: NodeCache | None) -> Address:
        """Lists the folders that shards may be in. Raises ShardError."""
        store = ObjectStore(address.rstrip("/"))
        top, folders = store.listed("")
        files, inner = dict(top), ""
        if "shards" in folders:
            inner = "shards/"
            files, folders = store.listed("shards")
        for folder in folders:
            files |= store.listed(inner + folder)[0]
        kept = {name: file for name, file in files.items() if name.endswith((".tar", ".json"))}
        return cls(store, kept | {name: top[name] for name in top.keys() & {SUMS}}, cache)

    @property
    def root(self) -> str:
        return self.store.address

    @property
    def name(self) -> str:
        return self.root.rpartition("/")[2]

    def shards(self) -> list[str]:
        return sorted(name for name in self.files if name.endswith(".tar"))

    def spans(self, shards: Sequence[str]) -> Iterator[ShardSpans]:
        for begin in range(0, len(shards), THREADS):
            with ThreadPoolExecutor(THREADS) as pool:
                yield from pool.map(self._spans, shards[begin : begin + THREADS])

    def _spans(self, shard: str) -> ShardSpans:
        name = index_name(shard)
        if name in self.files:
            told = self.range(name, 0, self.files[name].num_bytes)
            spans = spans_of_index(told, self.files[shard].num_bytes)
            if spans is not None and self._ends(shard, spans):
                return ShardSpans(shard, spans, is_told=True)
        return self._by_headers(shard)

    def _ends(self, shard: str, spans: Mapping[str, Mapping[str, Span]]) -> bool:
        """Whether nothing stands behind the last span: tars are padded, so their size does not
        tell of one sample more or less."""
        end = end_of_spans(spans)
        return not any(self.range(shard, end, end + HEADER_BYTES))

    def _by_headers(self, shard: str) -> ShardSpans:
        key = f"headers of {self._key(shard)}"
        kept = self.cache.get(key) if self.cache is not None else None
        spans = spans_of_text(kept) if kept is not None else None
        if spans is not None:
            return ShardSpans(shard, spans, is_told=False)
        raw = io.BufferedReader(_Ranged(self, shard), HEADERS_BYTES)
        try:
            with tarfile.open(fileobj=raw, mode="r:") as tar:
                spans = spans_of_tar(tar)
        except (tarfile.TarError, OSError) as error:
            raise ShardError(
                f"{self.at(shard)} cannot be read as a tar ({error}); send it there again"
            ) from None
        if self.cache is not None:
            self.cache.put(key, index_text(spans, self.files[shard].num_bytes).encode())
        return ShardSpans(shard, spans, is_told=False)

    def members(self, shard: str, spans: Mapping[str, Span], is_told: bool) -> Mapping[str, bytes]:
        read, read_part = partial(self.range, shard), partial(self._part, shard)
        return sample_from(read, read_part, spans, is_told, self.at(shard))

    def _part(self, shard: str, span: Span, first_byte: int, end: int) -> np.ndarray:
        """Some bytes of a member. With a cache the member is read whole, and once: windows are
        drawn, so that the next epoch's would hardly ever be one that was kept."""
        if self.cache is None:
            content = self.range(shard, span.first_byte + first_byte, span.first_byte + end)
        else:
            whole = self.range(shard, span.first_byte, span.first_byte + span.num_bytes)
            content = whole[first_byte:end]
        return np.frombuffer(bytearray(content), np.uint8)

    def several(
        self, shard: str, spans: Sequence[Mapping[str, Span]], is_told: bool
    ) -> list[Mapping[str, bytes]]:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda each: self.members(shard, each, is_told), spans))

    def range(self, name: str, first: int, end: int) -> bytes:
        """Bytes of a file, from the cache or with one request. Raises NotThereError past its end,
        and ShardError."""
        if end > self.files[name].num_bytes:
            raise NotThereError
        key = f"{first}-{end} of {self._key(name)}"
        if self.cache is not None and (kept := self.cache.get(key)) is not None:
            return kept
        content = self.store.range(name, first, end)
        if self.cache is not None:
            self.cache.put(key, content)
        return content

    def _key(self, name: str) -> str:
        """Another one for a file that was written anew."""
        return f"{self.at(name)} {self.files[name].version}"

    def at(self, shard: str) -> str:
        return f"{self.root}/{shard}"

    def sums(self) -> bytes | None:
        listed = self.files.get(SUMS)
        return None if listed is None else self.store.range(SUMS, 0, listed.num_bytes)

    def table(self, table: str, columns: Sequence[str]) -> Iterator[tuple[object, ...]] | None:
        folder = f"manifests/{table}"
        parts = {n: f for n, f in self.store.listed(folder)[0].items() if n.endswith(".parquet")}
        if not parts:
            return None
        return (
            row
            for name, part in sorted(parts.items())
            for row in column_rows(
                self.at(name),
                io.BytesIO(self.store.range(name, 0, part.num_bytes)),
                table,
                columns,
            )
        )


class _Ranged(io.RawIOBase):
    """A shard at an address as a file to seek in."""

    def __init__(self, place: Address, shard: str) -> None:
        self._place, self._shard, self._at = place, shard, 0
        self._end = place.files[shard].num_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        end = min(self._at + len(buffer), self._end)
        if end <= self._at:
            return 0
        content = self._place.store.range(self._shard, self._at, end)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def place_of(root: Path | str, cache: NodeCache | None = None) -> Place:
    """A folder (also as `file://`) or an address. Raises ShardError for one that is not there."""
    if isinstance(root, str) and is_remote(root):
        return Address.of(root, cache)
    return Folder(local_path(str(root)))
