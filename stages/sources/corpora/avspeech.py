"""AVSpeech (Ephrat et al. 2018): `avspeech_train.csv`, lines `id,start,end,x,y` without a header:
YouTube id, seconds, and a point on the speaker's face as shares of width and height.

One video may have several lines; an id may begin with `-` and, where a spreadsheet saved the list,
be quoted or preceded by `'`. Downloads that lie beside the list are taken: `ID.mp4` (the whole
video) or `ID_START.mp4` and `ID_START_END.mp4` (cut already, so that only the point counts).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manifests.paths import as_text
from manifests.plain_words import read_text
from stages.sources.corpora.rows import (
    YOUTUBE_ID,
    Corpus,
    CorpusError,
    Findings,
    Row,
    downloads_beside,
    file_row,
    in_words,
    judge_lines,
    youtube_link,
)

EXPECTED = "id,start,end,x,y"


def read(place: Path, findings: Findings) -> None:
    """Rows of a list, in its order. Bad lines are told; raises CorpusError where most are."""
    if place.is_dir():
        lists = sorted(place.glob("avspeech*.csv")) or sorted(place.glob("*.csv"))
        if not lists:
            raise CorpusError(
                f"{as_text(place)} holds no list: expected avspeech_train.csv ({EXPECTED})"
            )
    else:
        lists = [place]
    for listing in lists:
        _read(listing, findings)


def _read(listing: Path, findings: Findings) -> None:
    there = downloads_beside(listing, findings)
    split = next((s for s in ("train", "test") if s in listing.stem.lower()), None)
    odd: list[str] = []
    bad: list[str] = []
    before = len(findings.rows)
    for place, (number, line) in enumerate(lines_of(listing)):
        try:
            video, start_s, end_s = line[0].lstrip("'").strip(), float(line[1]), float(line[2])
            if not 0 <= start_s < end_s < math.inf:  # NaN is neither
                raise ValueError
        except (IndexError, ValueError):
            if place or any(_number(word) is not None for word in line):  # else a header
                bad.append(f"line {number}: {line!r}")
            continue
        point = _point(line)
        name = f"{video}_{line[1].strip()}"
        known: dict[str, Any] = {"split": split, "point_x": point[0], "point_y": point[1]}
        path, is_cut = _download(there, video, start_s)
        span: dict[str, Any] = {} if is_cut else {"start_s": start_s, "end_s": end_s}
        if path is not None:
            findings.rows.append(file_row(path, name, **known, **span))
        elif YOUTUBE_ID.fullmatch(video):
            findings.rows.append(Row(youtube_link(video), "link", name, **known, **span))
        else:
            odd.append(video)
            findings.rows.append(
                Row(
                    as_text(listing),
                    "file",
                    name,
                    **span,
                    missing=f"no download of {video} lies beside {listing.name}",
                )
            )
    judge_lines(listing, bad, len(findings.rows) - before, EXPECTED, findings)
    if odd:
        findings.notes.append(
            f"{len(odd)} ids of {as_text(listing)} are no YouTube ids, and no download of that "
            f"name lies beside it: {in_words(odd)}"
        )


def lines_of(listing: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and words of each line of a comma separated list, empty ones and remarks left out.

    Lines are read one by one: no word holds a line's end, and a quote that is never closed would
    swallow all that follows.
    """
    for number, line in enumerate(io.StringIO(read_text(listing), newline=None), 1):
        try:
            words = next(csv.reader([line.rstrip("\n")]), [])
        except csv.Error:
            words = [line.strip()]
        if words and not words[0].startswith("#"):
            yield number, words


def _point(line: list[str]) -> tuple[float | None, float | None]:
    """The face point; none where the line has none or it lies outside of the picture."""
    try:
        x, y = float(line[3]), float(line[4])
    except (IndexError, ValueError):
        return None, None
    return (x, y) if 0 <= x <= 1 and 0 <= y <= 1 else (None, None)


def _download(there: dict[str, list[Path]], video: str, start_s: float) -> tuple[Path | None, bool]:
    """The file, and whether it is cut already."""
    whole = None
    for path in there.get(video, []):
        if path.stem == video:
            whole = whole or path
        elif _number(path.stem[len(video) + 1 :].split("_")[0]) == start_s:
            return path, True
    return whole, False


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


AVSPEECH = Corpus(
    "avspeech",
    "AVSpeech",
    "Ephrat et al. 2018; looking-to-listen.github.io/avspeech",
    "avspeech_train.csv or avspeech_test.csv; downloads beside it are taken",
    "CC BY 4.0 for the lists; each video has its own terms on YouTube",
    "4700 (290 000 videos)",
    "Lip2Speech, LatentSync",
    read,
)
