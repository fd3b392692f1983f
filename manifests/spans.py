"""Where the members of samples lie in a tar: from its headers, from an index, and read by range.

Nothing here knows where the tar is: it is read by a function from one byte to another.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

HEADER_BYTES = 512
NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)
"""Key and suffix of a member's name, at the first dot of its last part, as webdataset has it."""

Read = Callable[[int, int], bytes]
"""The bytes of a tar from one place to another; raises NotThereError where it has not so many."""


class NotThereError(Exception):
    """The header before a member is not that member's."""


@dataclass(frozen=True)
class Span:
    """Where a member's bytes lie in the tar."""

    name: str
    first_byte: int
    num_bytes: int


def spans_of_tar(tar: tarfile.TarFile) -> dict[str, dict[str, Span]]:
    """Where the members of each sample lie, by key and suffix, from the headers alone."""
    spans: dict[str, dict[str, Span]] = {}
    for member in tar:
        named = NAME.fullmatch(member.name) if member.isfile() else None
        if named is not None:
            spans.setdefault(named[1], {})[named[2]] = Span(
                member.name, member.offset_data, member.size
            )
    return spans


def index_text(spans: Mapping[str, Mapping[str, Span]], num_bytes: int) -> str:
    """What an index says of a tar of so many bytes."""
    return json.dumps(
        {
            "num_bytes": num_bytes,
            "samples": {
                key: {s: [span.first_byte, span.num_bytes] for s, span in members.items()}
                for key, members in spans.items()
            },
        }
    )


def spans_of_text(text: str | bytes) -> dict[str, dict[str, Span]] | None:
    """What an index says; None for what is no index."""
    try:
        return {
            key: {
                suffix: Span(f"{key}.{suffix}", int(first), int(size))
                for suffix, (first, size) in members.items()
            }
            for key, members in json.loads(text)["samples"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def spans_of_index(text: str | bytes, tar_bytes: int) -> dict[str, dict[str, Span]] | None:
    """What an index says, where it fits a tar of so many bytes: its spans follow each other from
    the tar's start to its padded end. None where it does not, or is no index."""
    spans = spans_of_text(text)
    return spans if spans is not None and _fill_a_tar(spans, tar_bytes) else None


def _fill_a_tar(spans: Mapping[str, Mapping[str, Span]], tar_bytes: int) -> bool:
    if not all(spans.values()) or not all(
        (named := NAME.fullmatch(span.name)) and named.groups() == (key, suffix)
        for key, members in spans.items()
        for suffix, span in members.items()
    ):
        return False
    end = 0
    for span in (span for members in spans.values() for span in members.values()):
        if span.num_bytes < 0 or span.first_byte != end + HEADER_BYTES:
            return False
        end = _end(span)
    return tar_bytes == _padded(end + 2 * HEADER_BYTES, tarfile.RECORDSIZE)


def end_of_spans(spans: Mapping[str, Mapping[str, Span]]) -> int:
    """Where the last member ends, with what fills its block."""
    return max((_end(span) for members in spans.values() for span in members.values()), default=0)


def _end(span: Span) -> int:
    return span.first_byte + _padded(span.num_bytes, HEADER_BYTES)


def members_from(
    read: Read, spans: Mapping[str, Span], is_told: bool, unread: Collection[str] = ()
) -> dict[str, bytes]:
    """Members of a sample: one read where they follow each other, as they do in a shard of ours.

    Of those `unread` the header alone is read and compared; they are not in what is given. Of a tar
    that was scanned (not `is_told` by an index) the names are known; they may stand in headers of
    their own. Raises NotThereError where the tar holds something else.
    """
    wanted = {s: replace(spans[s], num_bytes=0) if s in unread else spans[s] for s in spans}
    blocks = [wanted] if _follow_each_other(wanted) else [{s: wanted[s]} for s in wanted]
    members: dict[str, bytes] = {}
    for part in blocks:
        first, end = _range(part)
        if first < 0:
            raise NotThereError
        block = read(first, max(end, first))
        if len(block) < end - first:
            raise NotThereError
        found = {s: _member(block, first, spans[s], is_told) for s in part}
        members |= {s: content for s, content in found.items() if s not in unread}
    return members


def _follow_each_other(spans: Mapping[str, Span]) -> bool:
    """Whether little but these members lies between the first and the last of them."""
    first, end = _range(spans)
    return end - first <= sum(s.num_bytes + 8 * HEADER_BYTES for s in spans.values())


def _range(spans: Mapping[str, Span]) -> tuple[int, int]:
    first = min((s.first_byte for s in spans.values()), default=HEADER_BYTES)
    return first - HEADER_BYTES, max(
        (s.first_byte + s.num_bytes for s in spans.values()), default=0
    )


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
