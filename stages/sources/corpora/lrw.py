"""LRW (Chung, Zisserman 2016): `ABOUT/train/ABOUT_00001.mp4`, 500 words, 29 frames a clip with the
word in its middle; `ABOUT_00001.txt` beside it says how long it lasts (`Duration: 0.34 seconds`).
"""

from __future__ import annotations

import re
from pathlib import Path

from stages.sources.corpora.rows import Corpus, Findings, file_row, those_that_fit

EXPECTED = "ABOUT/train/ABOUT_00001.mp4 (word, part, word and number)"
LAID_OUT = re.compile(r"/(?P<word>[A-Z]+)/(?P<part>train|val|test)/(?P<name>(?P=word)_\d+)\.mp4$")
DURATION = re.compile(r"^Duration:\s*(?P<seconds>\d{1,2}(?:\.\d+)?)", re.MULTILINE)
CLIP_S = 29 / 25
NUM_WORDS = 500


def fits(path: Path) -> str | None:
    """Whether it lies so; who speaks is not told."""
    return None if LAID_OUT.search(path.as_posix()) is None else ""


def read(place: Path, findings: Findings) -> None:
    """Rows with their word, and its time where the file beside says how long it is."""
    files = those_that_fit(place, findings, fits, EXPECTED)
    words, untimed = set(), 0
    for path in files:
        found = LAID_OUT.search(path.absolute().as_posix())
        assert found is not None
        words.add(found["word"])
        length = _duration(path)
        untimed += length is None
        findings.rows.append(
            file_row(
                path,
                f"{found['word']}/{found['part']}/{found['name']}",
                split=found["part"],
                text=found["word"],
                text_start_s=None if length is None else round((CLIP_S - length) / 2, 3),
                text_end_s=None if length is None else round((CLIP_S + length) / 2, 3),
            )
        )
    if untimed:
        findings.notes.append(
            f"{untimed} of {len(files)} clips have no .txt with `Duration:`; their word has no time"
        )
    if len(words) != NUM_WORDS:
        findings.notes.append(f"{len(words)} of {NUM_WORDS} words are here")


def _duration(path: Path) -> float | None:
    try:
        found = DURATION.search(path.with_suffix(".txt").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None
    seconds = None if found is None else float(found["seconds"])
    return seconds if seconds is not None and 0 < seconds <= CLIP_S else None


LRW = Corpus(
    "lrw",
    "Lip Reading in the Wild",
    "Chung, Zisserman 2016; robots.ox.ac.uk/~vgg/data/lip_reading/lrw1.html",
    "the folder lipread_mp4, with a folder for each word",
    "BBC agreement, non-commercial research; by request",
    "173 (538 766 clips of 1.16 s)",
    "Lip2Speech, Speech2Vid, SyncNet",
    read,
    fits,
    media_licence="other",
)
