"""Shards: samples in WebDataset tars, written the same every time and read one at a time.

A sample is its key and its members (docs/reading.md): `face.mp4`, `audio.flac`, `landmarks.npy`,
`json`. Beside a tar lies an index of where its members begin, so that one sample is read without
the rest; it is made from the tar, and a tar without it, or with another's, is read all the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np

from manifests.files import write_atomic
from manifests.plain_words import sentence
from manifests.spans import (
    HEADER_BYTES,
    NotThereError,
    Span,
    end_of_spans,
    index_text,
    members_from,
    spans_of_index,
    spans_of_tar,
)

MEMBERS = ("face.mp4", "audio.flac", "landmarks.npy", "json")
WIDE_AUDIO = "audio.wide.flac"
"""Member of corpora built with `clips.wide_audio`: the sound at the source's own rate."""
FRAMES_FACTS = "frames.json"
"""Member that says what the frames of a repacked sample are (`manifests/frames.py`)."""


class ShardError(ValueError):
    """A shard, or a sample in it, that cannot be read; the message names it and the remedy."""


class SampleError(ShardError):
    """A member that is missing, damaged or foreign; `why` names it."""

    def __init__(self, shard: str, key: str, why: str) -> None:
        self.why = why
        super().__init__(
            f"{shard}: {key} is damaged, or no sample of ours ({why}); run `yld verify`"
        )


@dataclass(frozen=True)
class ShardSample:
    """One sample. Members are decoded when asked for; what is damaged raises ShardError then."""

    key: str
    members: Mapping[str, bytes]
    shard: str = ""
    """The file it came from, for messages."""

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Its `json` (`manifests.sample_json` lists the members)."""
        facts = self._decoded("json", json.loads)
        if not isinstance(facts, dict):
            raise self._error("json", "it is no object")
        return facts

    @cached_property
    def landmarks(self) -> np.ndarray:
        """float32 [T, 68, 2] in pixels of the faces."""
        return self._decoded(
            "landmarks.npy", lambda content: np.load(io.BytesIO(content), allow_pickle=False)
        )

    @cached_property
    def sound(self) -> np.ndarray:
        """int16 [640 T] at 16 kHz, mono."""
        from manifests.media.encode import decode_flac

        return self._decoded("audio.flac", decode_flac)

    @cached_property
    def wide_sound(self) -> tuple[np.ndarray, int]:
        """int16 [rate / 25 T], mono, and its rate; ShardError where the corpus has none."""
        from manifests.media.encode import decode_flac, flac_rate

        return self._decoded(WIDE_AUDIO, lambda content: (decode_flac(content), flac_rate(content)))

    def faces(self) -> np.ndarray:
        """RGB uint8 [T, 256, 256, 3]; decoded anew each time, for it is large."""
        from manifests.media.encode import decode_video

        return self._decoded("face.mp4", decode_video)

    def missing(self) -> list[str]:
        """Names of the members that it lacks; frames of a crop stand for the faces."""
        faces = {"face.mp4"} if FRAMES_FACTS in self.members else set()
        return sorted(set(MEMBERS) - set(self.members) - faces)

    @property
    def num_bytes(self) -> int:
        return sum(map(len, self.members.values()))

    def sha256(self) -> str:
        """Over the members' names, lengths and bytes, in the order of the names; hexadecimal."""
        total = hashlib.sha256()
        for suffix in sorted(self.members):
            total.update(f"{suffix}\0{len(self.members[suffix])}\0".encode())
            total.update(self.members[suffix])
        return total.hexdigest()

    def with_facts(self, facts: Mapping[str, Any]) -> ShardSample:
        """The same sample with another `json`."""
        content = json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()
        return ShardSample(self.key, {**self.members, "json": content}, self.shard)

    def _decoded(self, suffix: str, decode: Any) -> Any:
        if suffix not in self.members:
            raise self._error(suffix, "it is missing")
        try:
            return decode(self.members[suffix])
        except Exception as error:  # a damaged or foreign member raises almost anything
            raise self._error(suffix, f"{type(error).__name__}: {sentence(error)}") from None

    def _error(self, suffix: str, why: str) -> SampleError:
        return SampleError(self.shard, self.key, f"{suffix}: {why}")


class SampleIndex:
    """Random access to a shard: how many samples, which, and each by its number or key.

    Holds no open file, so that it can be sent to another process.
    """

    def __init__(
        self, path: Path, spans: dict[str, dict[str, Span]], is_told: bool = False
    ) -> None:
        """`is_told`: the spans are what an index says, and the tar may be another one."""
        self.path, self._spans, self.is_told = path, spans, is_told
        self.keys = list(spans)

    @classmethod
    def of(cls, path: Path) -> SampleIndex:
        """From the index beside the tar if it fits, else from the tar. Raises ShardError."""
        return cls.beside(path) or cls.scan(path)

    @classmethod
    def scan(cls, path: Path) -> SampleIndex:
        """From the headers of the tar; its index is not looked at. Raises ShardError."""
        try:
            with tarfile.open(path, "r:") as tar:
                return cls(path, spans_of_tar(tar))
        except (tarfile.TarError, OSError) as error:
            raise ShardError(
                f"{path} cannot be read as a tar ({error}); run `yld verify`"
            ) from None

    @classmethod
    def beside(cls, path: Path) -> SampleIndex | None:
        """From the index beside the tar; None where there is none that fits."""
        beside = Path(index_name(str(path)))
        if not beside.is_file():  # nor a pipe, which would be waited for
            return None
        try:
            spans = spans_of_index(beside.read_text(encoding="utf-8"), path.stat().st_size)
            if spans is None:
                return None
            index = cls(path, spans, is_told=True)
            return index if index._ends_with_the_tar() else None
        except (OSError, ValueError):
            return None  # it is made from the tar at any time

    def _ends_with_the_tar(self) -> bool:
        """Whether nothing stands where the last span ends. Tars are padded to 10 KiB, so the size
        alone does not tell that a sample came or went."""
        end = end_of_spans(self._spans)
        with open(self.path, "rb") as file:
            file.seek(end)
            return not any(file.read(HEADER_BYTES))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, which: int | str) -> ShardSample:
        """A sample by number or key. Raises IndexError, KeyError, ShardError.

        Where the index turns out to be another tar's, the tar is scanned and counts from then on.
        """
        try:
            key = which if isinstance(which, str) else self.keys[which]
            spans = self._spans[key]
            return ShardSample(key, read_members(self.path, spans, self.is_told), str(self.path))
        except NotThereError:
            if not self.is_told:
                raise ShardError(
                    f"{self.path} changed while it was read; run `yld verify`"
                ) from None
        except (KeyError, IndexError):
            if not self.is_told:
                raise
        scanned = self.scan(self.path)
        self._spans, self.keys, self.is_told = scanned._spans, scanned.keys, False
        return self[which]

    def __iter__(self) -> Iterator[ShardSample]:
        """All of them, as the tar has them: who reads all does not need what an index says."""
        whole = self.scan(self.path) if self.is_told else self
        return (whole[key] for key in whole.keys)

    def spans(self, key: str) -> Mapping[str, Span]:
        """Where the members of a sample lie, by suffix. Raises KeyError."""
        return self._spans[key]

    def write(self) -> None:
        """The index beside the tar, as `of` reads it."""
        write_atomic(
            Path(index_name(str(self.path))),
            index_text(self._spans, self.path.stat().st_size),
        )


def read_members(
    path: Path, spans: Mapping[str, Span], is_told: bool, unread: Collection[str] = ()
) -> dict[str, bytes]:
    """`members_from` a file. Raises NotThereError where it holds something else, and OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return members_from(partial(_read_range, descriptor), spans, is_told, unread)
    finally:
        os.close(descriptor)


def _read_range(descriptor: int, first: int, end: int) -> bytes:
    if end > os.fstat(descriptor).st_size:
        raise NotThereError
    block = os.pread(descriptor, end - first, first)
    while len(block) < end - first:  # the system reads 2 GiB at most at a time
        more = os.pread(descriptor, end - first - len(block), first + len(block))
        if not more:
            raise NotThereError  # cut meanwhile
        block += more
    return block


def index_name(shard: str) -> str:
    """The index's path beside its shard's. Hidden, so that what reads a whole folder of shards
    (Hugging Face's `data_dir`) finds nothing but tars in it."""
    path = PurePath(shard)
    return str(path.with_name(f".{path.name.removesuffix('.tar')}.index.json"))


def read_samples(path: Path) -> Iterator[ShardSample]:
    """Samples of a shard, in order, one in memory at a time. Raises ShardError.

    Who reads all asks the tar: its headers cost little beside its members, and an index that lies
    could hide a sample.
    """
    return iter(SampleIndex.scan(path))


def write_samples(stream: BinaryIO, samples: Iterable[ShardSample]) -> None:
    """A tar with the same bytes every time: no dates, no owners, members in a fixed order."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            members = sample.members
            for suffix in (
                *(m for m in MEMBERS if m in members),
                *sorted(set(members) - set(MEMBERS)),
            ):
                info = tarfile.TarInfo(f"{sample.key}.{suffix}")
                info.size, info.mode = len(members[suffix]), 0o644
                tar.addfile(info, io.BytesIO(members[suffix]))
