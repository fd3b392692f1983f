"""What is said and when: the common form of captions and of a corpus's own transcripts."""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Literal

MAX_LINE_CHARS = 100_000
TAG = re.compile(r"<[^<>]*>")
STYLE = re.compile(r"\{\\[^{}]*\}")
BAD_NUMBER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")
CENSORED = re.compile(r"\[\s*__\s*\]")
SOUND_NOTE = re.compile(r"\[(?!__\])[^\[\]]*\]|[♩♪♫♬]")
JOINERS = "‌‍"
"""Zero-width characters that spelling needs (Persian, Indic scripts)."""


class TranscriptError(ValueError):
    """A file that should hold a transcript and cannot be read; says why, names no folder."""


@dataclass(frozen=True)
class Span:
    """Text that is said within a span of time."""

    text: str
    start_us: int
    end_us: int | None
    """None: until the recording ends."""
    is_word: bool
    """One word with its own times; otherwise only the times of the whole text are known."""


@dataclass(frozen=True)
class Transcript:
    """Spans in order of their start."""

    spans: tuple[Span, ...]
    counts_from: Literal["presentation", "sound"]
    """What second 0 is: the media's own presentation time, or the first sample of its sound."""

    def near(self, start_us: float, end_us: float) -> tuple[Span, ...]:
        """The spans that may overlap a time, found without looking at all others."""
        starts, longest = self._index
        return self.spans[bisect_left(starts, start_us - longest) : bisect_right(starts, end_us)]

    @cached_property
    def _index(self) -> tuple[list[int], float]:
        lengths = [inf if s.end_us is None else s.end_us - s.start_us for s in self.spans]
        return [s.start_us for s in self.spans], max(lengths, default=0)


def plain(text: str) -> str:
    """One line of plain text: no tags, entities decoded, no control characters.

    Notes about sounds (`[Music]`) and signs of a change of speaker (`>>`) are not said and go;
    the `[__]` of a censored word stays.
    """
    text = html.unescape(BAD_NUMBER.sub("", STYLE.sub("", TAG.sub("", text))))
    text = " ".join(text.split())
    text = "".join(
        c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") or c in JOINERS
    )
    text = SOUND_NOTE.sub(" ", CENSORED.sub("[__]", text))
    return " ".join(text.split()).removeprefix(">>").strip()


def decoded(content: bytes, what: str) -> str:
    """The text of a file: UTF-8, or UTF-16 with a byte order mark. Raises TranscriptError."""
    is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise TranscriptError(f"the {what} file is not UTF-8 text") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE_CHARS:
            raise TranscriptError(
                f"the {what} file, line {number}: {len(line)} characters, "
                f"{MAX_LINE_CHARS} are the most"
            )
    return text
