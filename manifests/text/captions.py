"""Captions: WebVTT (with the word times of YouTube's automatic captions) and SubRip (SRT).

WebVTT: https://www.w3.org/TR/webvtt1/. Automatic captions roll: a cue shows the line before
once more, and a cue of 10 ms stands between two; lines that are only shown again are dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from manifests.text.spoken import Span, Transcript, TranscriptError, plain

LONGEST_WORD_US = 1_000_000
"""Inline times say when a word begins; it ends with the next one, at most so much later."""
_STAMP = r"(?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3}"
_TIMING = re.compile(rf"\s*({_STAMP})[ \t]+-->[ \t]+({_STAMP})(?:[ \t].*)?")
_INLINE = re.compile(r"<((?:\d{1,4}:)?\d\d:\d\d\.\d{3})>")
_LEAST_PAIRS, _MOST_LINES = 4, 8


@dataclass(frozen=True)
class _Cue:
    start_us: int
    end_us: int
    lines: list[str]


def parse_webvtt(text: str) -> Transcript:
    """The spans of a WebVTT file's text. Raises TranscriptError."""
    first, _, rest = text.partition("\n")
    if not re.fullmatch(r"WEBVTT([ \t].*)?", first):
        raise TranscriptError("the .vtt file does not begin with WEBVTT")
    header = rest.split("\n\n", 1)[0]
    mapped = re.search(r"X-TIMESTAMP-MAP=(.*)", header)
    if mapped and re.search(r"[1-9]", mapped[1].replace("MPEGTS", "").replace("LOCAL", "")):
        raise TranscriptError(
            "the .vtt file counts in a transport stream's time "
            "(X-TIMESTAMP-MAP), which the media no longer has"
        )
    return _transcript(_cues(rest, ".vtt", 2))


def parse_srt(text: str) -> Transcript:
    """The spans of a SubRip file's text. Raises TranscriptError."""
    return _transcript(_cues(text, ".srt", 1))


def _cues(text: str, what: str, first_line: int) -> list[_Cue]:
    cues: list[_Cue] = []
    lines: list[str] | None = None
    for number, line in enumerate(text.split("\n"), first_line):
        if "-->" in line:
            match = _TIMING.fullmatch(line)
            if match is None:
                raise TranscriptError(f"the {what} file, line {number}: no times of a cue")
            start, end = _us(match[1]), _us(match[2])
            if end < start:
                raise TranscriptError(
                    f"the {what} file, line {number}: a cue ends before it begins"
                )
            if lines and lines[-1].strip().isdigit():
                lines.pop()  # the number of this cue, with no empty line before it
            lines = []
            cues.append(_Cue(start, end, lines))
        elif not line:
            lines = None
        elif lines is not None:
            lines.append(line)
    if not cues:
        raise TranscriptError(f"the {what} file holds no cues")
    return sorted(cues, key=lambda c: c.start_us)


def _transcript(cues: list[_Cue]) -> Transcript:
    shown = [[text for text in map(plain, cue.lines) if text] for cue in cues]
    repeats = [0] + [_overlap(a, b) for a, b in zip(shown, shown[1:], strict=False)]
    has_inline = any(_INLINE.search(line) for cue in cues for line in cue.lines)
    pairs = len(cues) - 1
    is_rolling = (2 * sum(map(bool, repeats)) >= pairs > 0) and (
        has_inline or pairs >= _LEAST_PAIRS
    )
    spans: list[Span] = []
    for cue, repeated in zip(cues, repeats, strict=True):
        lines = [line for line in cue.lines if plain(line)][repeated if is_rolling else 0 :]
        if any(_INLINE.search(line) for line in lines) or (is_rolling and has_inline):
            for line in lines:
                spans += _timed(cue, line, is_rolling)
        elif lines:
            # plain() once more over the whole: a note may run over two lines.
            spans.append(Span(plain(" ".join(lines)), cue.start_us, cue.end_us, False))
    spans = sorted((s for s in spans if s.text), key=lambda s: s.start_us)
    ended = []
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        end = span.end_us
        if span.is_word and end is not None and following is not None:
            end = max(span.start_us, min(end, following.start_us))
        ended.append(Span(span.text, span.start_us, end, span.is_word))
    return Transcript(tuple(ended), "presentation")


def _overlap(before: list[str], now: list[str]) -> int:
    """How many lines at the beginning of `now` are the last ones of `before`."""
    for count in range(min(len(before), len(now), _MOST_LINES), 0, -1):
        if before[-count:] == now[:count]:
            return count
    return 0


def _timed(cue: _Cue, line: str, is_rolling: bool) -> list[Span]:
    """A line's pieces between its inline times; a piece of one word is a word."""
    parts = _INLINE.split(line)
    starts = [cue.start_us, *map(_us, parts[1::2])]
    if starts != sorted(starts) or starts[-1] > cue.end_us or (len(starts) == 1 and not is_rolling):
        return [Span(plain(line), cue.start_us, cue.end_us, False)]
    spans = []
    for piece, start, end in zip(parts[::2], starts, [*starts[1:], cue.end_us], strict=True):
        text = plain(piece)
        is_word = len(text.split()) == 1
        spans.append(
            Span(text, start, min(end, start + LONGEST_WORD_US) if is_word else end, is_word)
        )
    return spans


def _us(stamp: str) -> int:
    *hours, minutes, seconds = stamp.replace(",", ".").split(":")
    whole, _, part = seconds.partition(".")
    total = (int(hours[0]) if hours else 0) * 3600 + int(minutes) * 60 + int(whole)
    return total * 1_000_000 + int(part.ljust(6, "0"))
