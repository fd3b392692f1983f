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
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np

from manifests.files import write_atomic
from manifests.plain_words import sentence

MEMBERS = ("face.mp4", "audio.flac", "landmarks.npy", "json")
FRAMES_FACTS = "frames.json"
"""Member that says what the frames of a repacked sample are (`manifests/frames.py`)."""
HEADER_BYTES = 512
NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)
"""Key and suffix of a member's name, at the first dot of its last part, as webdataset has it."""


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


@dataclass(frozen=True)
class Span:
    """Where a member's bytes lie in the tar."""

    name: str
    first_byte: int
    num_bytes: int


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
        spans: dict[str, dict[str, Span]] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    named = NAME.fullmatch(member.name) if member.isfile() else None
                    if named is not None:
                        spans.setdefault(named[1], {})[named[2]] = Span(
                            member.name, member.offset_data, member.size
                        )
        except (tarfile.TarError, OSError) as error:
            raise ShardError(
                f"{path} cannot be read as a tar ({error}); run `yld verify`"
            ) from None
        return cls(path, spans)

    @classmethod
    def beside(cls, path: Path) -> SampleIndex | None:
        """From the index beside the tar; None where there is none that fits."""
        beside = Path(index_name(str(path)))
        if not beside.is_file():  # nor a pipe, which would be waited for
            return None
        try:
            told = json.loads(beside.read_text(encoding="utf-8"))
            index = cls(
                path,
                {
                    key: {
                        suffix: Span(f"{key}.{suffix}", int(first), int(size))
                        for suffix, (first, size) in members.items()
                    }
                    for key, members in told["samples"].items()
                },
                is_told=True,
            )
            return index if index._fills_the_tar() else None
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ):
            return None  # it is made from the tar at any time

    def _fills_the_tar(self) -> bool:
        """Whether the spans follow each other from the tar's start to its end. Tars are padded to
        10 KiB, so the size alone does not tell that a sample came or went."""
        if not all(self._spans.values()) or not all(
            (named := NAME.fullmatch(span.name)) and named.groups() == (key, suffix)
            for key, members in self._spans.items()
            for suffix, span in members.items()
        ):
            return False
        end = 0
        for span in (s for members in self._spans.values() for s in members.values()):
            if span.num_bytes < 0 or span.first_byte != end + HEADER_BYTES:
                return False
            end = span.first_byte + _padded(span.num_bytes, HEADER_BYTES)
        if self.path.stat().st_size != _padded(end + 2 * HEADER_BYTES, tarfile.RECORDSIZE):
            return False
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
            json.dumps(
                {
                    "num_bytes": self.path.stat().st_size,
                    "samples": {
                        key: {s: [span.first_byte, span.num_bytes] for s, span in spans.items()}
                        for key, spans in self._spans.items()
                    },
                }
            ),
        )


class NotThereError(Exception):
    """The header before a member is not that member's."""


def read_members(
    path: Path, spans: Mapping[str, Span], is_told: bool, unread: Collection[str] = ()
) -> dict[str, bytes]:
    """Members of a sample: one read where they follow each other, as they do in a shard of ours.

    Of those `unread` the header alone is read and compared; they are not in what is given. Of a tar
    that was scanned (not `is_told` by an index) the names are known; they may stand in headers of
    their own. Raises NotThereError where the tar holds something else, and OSError.
    """
    read = {s: replace(spans[s], num_bytes=0) if s in unread else spans[s] for s in spans}
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        blocks = [read] if _follow_each_other(read) else [{s: read[s]} for s in read]
        members: dict[str, bytes] = {}
        for part in blocks:
            block, first_byte = _block(descriptor, part)
            found = {s: _member(block, first_byte, spans[s], is_told) for s in part}
            members |= {s: content for s, content in found.items() if s not in unread}
        return members
    finally:
        os.close(descriptor)


def _follow_each_other(spans: Mapping[str, Span]) -> bool:
    """Whether little but these members lies between the first and the last of them."""
    first, end = _range(spans)
    return end - first <= sum(s.num_bytes + 8 * HEADER_BYTES for s in spans.values())


def _range(spans: Mapping[str, Span]) -> tuple[int, int]:
    first = min((s.first_byte for s in spans.values()), default=HEADER_BYTES)
    return first - HEADER_BYTES, max(
        (s.first_byte + s.num_bytes for s in spans.values()), default=0
    )


def _block(descriptor: int, spans: Mapping[str, Span]) -> tuple[bytes, int]:
    """The bytes from the first member's header to the last one's end, and where they begin."""
    first, end = _range(spans)
    if first < 0 or end > os.fstat(descriptor).st_size:
        raise NotThereError
    block = os.pread(descriptor, max(end - first, 0), first)
    while len(block) < end - first:  # the system reads 2 GiB at most at a time
        more = os.pread(descriptor, end - first - len(block), first + len(block))
        if not more:
            raise NotThereError  # cut meanwhile
        block += more
    return block, first


def _member(block: bytes, first_byte: int, span: Span, is_told: bool) -> bytes:
    begin = span.first_byte - first_byte
    name, num_bytes = _header(block[begin - HEADER_BYTES : begin])
    if num_bytes != span.num_bytes or (is_told and name != span.name):
        raise NotThereError
    return block[begin : begin + span.num_bytes]


def _header(content: bytes) -> tuple[str, int]:
    """Name and size that a tar's header tells. Raises NotThereError where it is none.

    Such headers as we write are read here, four times faster than by tarfile, which reads all
    others: a sample has several, and they took longer than its bytes.
    """
    size, told = content[124:135], content[148:154]
    if (
        content[156:157] == b"0"
        and content[257:265] == b"ustar\x0000"
        and not content[345:500].strip(b"\0")  # the name is in one piece
        and content[135:136] + content[154:156] == b"\0\0 "
        and not (size + told).strip(b"01234567")
        and not (content[100:124] + content[136:148] + content[329:345]).strip(b"01234567\0")
        and sum(content) - sum(content[148:156]) + 8 * ord(" ") == int(told, 8)
    ):
        name = content[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        return name, int(size, 8)
    try:
        info = tarfile.TarInfo.frombuf(content, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise NotThereError from None
    return info.name, info.size


def _padded(num_bytes: int, block: int) -> int:
    return -(-num_bytes // block) * block


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
