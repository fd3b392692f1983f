"""Transcripts that corpora publish beside their clips: GRID's `.align`, LRS2's and LRS3's `.txt`.

GRID (Cooke et al. 2006): lines `start end word` in 1/25000 s (a thousandth of a frame at 25 fps);
`sil` and `sp` are silence. LRS2 and LRS3 (Afouras et al. 2018): `Text:`, `Conf:` and `Ref:`
lines, in LRS3 a table of face boxes, and where words were aligned a table headed
`WORD START END ASDSCORE` in seconds. Both count from the beginning of the clip's sound.
"""

from __future__ import annotations

import math
import re

from manifests.text.spoken import Span, Transcript, TranscriptError, plain

GRID_UNITS_PER_S = 25_000
SILENCES = frozenset({"sil", "sp"})
_SECONDS = re.compile(r"\d{1,6}(\.\d+)?")


def parse_grid(text: str) -> Transcript:
    """The words of a GRID alignment. Raises TranscriptError."""
    spans, at = [], 0
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or not all(re.fullmatch(r"[0-9]{1,12}", f) for f in fields[:2]):
            raise TranscriptError(f"the .align file, line {number}: not `start end word`")
        start, end, word = int(fields[0]), int(fields[1]), plain(fields[2])
        if start < at or end < start:
            raise TranscriptError(f"the .align file, line {number}: times go back")
        at = end
        if word and word.lower() not in SILENCES:
            spans.append(
                Span(
                    word,
                    start * 1_000_000 // GRID_UNITS_PER_S,
                    end * 1_000_000 // GRID_UNITS_PER_S,
                    True,
                )
            )
    if not at:
        raise TranscriptError("the .align file holds no alignment")
    return Transcript(tuple(spans), "sound")


def is_lrs(text: str) -> bool:
    """Whether a text file is built like those of LRS2 and LRS3: `Text:`, and more of its lines."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return (
        bool(lines)
        and lines[0].startswith("Text:")
        and any(re.match(r"(Conf|Ref):|WORD\s+START\s+END", line) for line in lines[1:])
    )


def parse_lrs(text: str) -> Transcript:
    """The words of an LRS text file; its sentence without times if none is aligned.

    Raises TranscriptError.
    """
    lines = [line.strip() for line in text.split("\n")]
    heads = [i for i, line in enumerate(lines) if re.match(r"WORD\s+START\s+END", line)]
    if not heads:
        sentence = plain(next(line for line in lines if line).removeprefix("Text:"))
        if not sentence:
            raise TranscriptError("the .txt file holds no words")
        return Transcript((Span(sentence, 0, None, False),), "sound")
    spans = []
    for number, line in enumerate(lines[heads[0] + 1 :], heads[0] + 2):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 3 or not all(map(_SECONDS.fullmatch, fields[1:3])):
            raise TranscriptError(f"the .txt file, line {number}: not `word start end score`")
        start, end = (math.floor(float(f) * 1_000_000 + 0.5) for f in fields[1:3])
        if end < start:
            raise TranscriptError(f"the .txt file, line {number}: times go back")
        word = plain(fields[0])
        if word and not re.fullmatch(r"\{.*\}", word):  # {NS}, {LG}: noise, laughter
            spans.append(Span(word, start, end, True))
    return Transcript(tuple(sorted(spans, key=lambda s: s.start_us)), "sound")
