"""TalkVid (Chen et al. 2025): a JSON list of clips: `id`, `start-time`, `end-time`, `height`,
`width`, and in `info` the `Video Link` and `Person ID`. The same form with a box is taken from
lists of others: `box` or `bbox` as x0, y0, x1, y1, in pixels of `height` or, if all are at most 1,
in shares. One JSON object a line (`.jsonl`) will do too.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from manifests.paths import as_text
from manifests.plain_words import read_text
from stages.sources.corpora.rows import (
    BAD_SHOWN,
    Corpus,
    CorpusError,
    Findings,
    Row,
    id_of_link,
    in_words,
    short,
    youtube_link,
)

EXPECTED = (
    'a list of {"id", "start-time", "end-time", "height", "info": {"Video Link", "Person ID"}}'
)


def read(place: Path, findings: Findings) -> None:
    """Rows of a list. Entries that cannot be used are told; raises CorpusError where none can."""
    bad = []
    for number, entry in enumerate(_entries(place), 1):
        try:
            findings.rows.append(_row(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            bad.append(f"entry {number} ({type(error).__name__}: {error})")
    if not findings.rows:
        raise CorpusError(
            f"{as_text(place)} is not laid out as talkvid: expected {EXPECTED}; found "
            f"{in_words(bad) or 'an empty list'}"
        )
    if len(bad) > len(findings.rows):
        raise CorpusError(
            f"{len(bad)} of {len(bad) + len(findings.rows)} entries of {as_text(place)} are not "
            f"{EXPECTED}: {'; '.join(map(short, bad[:BAD_SHOWN]))}. Is it a list of talkvid? Mend "
            "it, or name another"
        )
    if bad:
        findings.notes.append(f"{len(bad)} entries cannot be used: {in_words(bad)}")


def _entries(place: Path) -> list[Any]:
    if not place.is_file():
        raise CorpusError(f"{as_text(place)} is no file: expected {EXPECTED}")
    text = read_text(place)
    try:
        found = (
            [_entry(line) for line in text.splitlines() if line.strip()]
            if place.suffix == ".jsonl"
            else json.loads(text)
        )
    except ValueError as error:
        raise CorpusError(f"{as_text(place)} is no JSON: {error}; expected {EXPECTED}") from None
    return found if isinstance(found, list) else [found]


def _entry(line: str) -> Any:
    """An entry of a `.jsonl`; the line itself where it is no JSON, which `_row` refuses."""
    try:
        return json.loads(line)
    except ValueError:
        return line


def _row(entry: Any) -> Row:
    if not isinstance(entry, dict):
        raise ValueError(f"{str(entry)[:60]!r} is no JSON object")
    info = entry.get("info") or {}
    link = str(info.get("Video Link") or entry.get("link") or entry["url"])
    start_s, end_s = float(entry["start-time"]), float(entry["end-time"])
    if not 0 <= start_s < end_s < math.inf:
        raise ValueError(f"{start_s} to {end_s} s is no span")
    video = id_of_link(link)
    if video is None and not link.startswith(("http://", "https://")):
        raise ValueError(f"{link!r} is no link")
    person = info.get("Person ID")
    boxes, height = _box(entry)
    return Row(
        youtube_link(video) if video else link,
        "link",
        str(entry["id"]),
        speaker=None if person is None else str(person),
        start_s=start_s,
        end_s=end_s,
        boxes=boxes,
        box_height_px=height,
    )


def _box(entry: dict[str, Any]) -> tuple[tuple[float, ...], int | None]:
    given = entry.get("box") or entry.get("bbox")
    if given is None:
        return (), None
    box = tuple(float(v) for v in given)
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f"{given!r} is no box of x0, y0, x1, y1")
    return box, None if max(box) <= 1 else int(entry["height"])


TALKVID = Corpus(
    "talkvid",
    "TalkVid, and lists of its form",
    "Chen et al. 2025; github.com/FreedomIntelligence/TalkVid",
    "filtered_video_clips.json, or a .jsonl of the same entries",
    "CC BY-NC 4.0 for the list; each video has its own terms on YouTube",
    "1244 (7729 people)",
    "LatentSync and other trainers of talking heads",
    read,
)
