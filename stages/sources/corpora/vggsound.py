"""VGGSound (Chen et al. 2020) and lists of its form: `vggsound.csv`, lines
`YouTube id,start second,label,part` without a header; each is ten seconds long.

Most of it is no speech: filter the list (`grep speech vggsound.csv > speech.csv`) before it is
built.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from manifests.paths import as_text
from stages.sources.corpora.avspeech import lines_of
from stages.sources.corpora.rows import (
    YOUTUBE_ID,
    Corpus,
    CorpusError,
    Findings,
    Row,
    downloads_beside,
    file_row,
    judge_lines,
    youtube_link,
)

EXPECTED = "id,start,label,train or test"
LENGTH_S = 10.0
PARTS = frozenset({"train", "val", "test"})


def read(place: Path, findings: Findings) -> None:
    """Rows of a list, in its order. Bad lines are told; raises CorpusError where most are."""
    listing = place / "vggsound.csv" if place.is_dir() else place
    if not listing.is_file():
        raise CorpusError(f"{as_text(listing)} does not exist: expected a list of {EXPECTED}")
    there = downloads_beside(listing, findings)
    bad: list[str] = []
    for place_in_list, (number, line) in enumerate(lines_of(listing)):
        try:
            video, start_s, part = line[0].lstrip("'").strip(), float(line[1]), line[3].strip()
            if not (0 <= start_s < math.inf and part in PARTS and YOUTUBE_ID.fullmatch(video)):
                raise ValueError
        except (IndexError, ValueError):
            if place_in_list or any(YOUTUBE_ID.fullmatch(word) for word in line[:1]):
                bad.append(f"line {number}: {line!r}")  # else a header
            continue
        name = f"{video}_{round(start_s):06d}"
        cut = next((p for p in there.get(video, []) if p.stem == name), None)
        if cut is not None:
            findings.rows.append(file_row(cut, name, split=part))
            continue
        whole = next((p for p in there.get(video, []) if p.stem == video), None)
        span: dict[str, Any] = {"split": part, "start_s": start_s, "end_s": start_s + LENGTH_S}
        findings.rows.append(
            file_row(whole, name, **span)
            if whole is not None
            else Row(youtube_link(video), "link", name, **span)
        )
    judge_lines(listing, bad, len(findings.rows), EXPECTED, findings)


VGGSOUND = Corpus(
    "vggsound",
    "VGGSound, and lists of its form",
    "Chen et al. 2020; robots.ox.ac.uk/~vgg/data/vggsound",
    "vggsound.csv; downloads beside it (ID_000030.mp4) are taken",
    "CC BY 4.0 for the list; each video has its own terms on YouTube",
    "550 (200 000 clips of 10 s; few are speech)",
    "trainers of sound and picture at large",
    read,
)
