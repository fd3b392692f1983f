"""TCD-TIMIT (Harte, Gillen 2015): `volunteers/01M/Clips/straightcam/sa1.mp4`, and `30degcam` beside
it; `lipspeakers/Lipspkr1/...`. Two cameras filmed each sentence, so both pictures of one sentence
belong to one part.

Parts: volunteers by speaker, the seventeen test speakers that the corpus recommends; lipspeakers by
sentence, 90/5/5 per speaker (SLTS, section 4.1.1), drawn by hash since no draw was published.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from pathlib import Path

from manifests.paths import as_text
from stages.sources.corpora.rows import Corpus, Findings, file_row, in_words, those_that_fit

EXPECTED = "volunteers/01M/Clips/straightcam/sa1.mp4 or lipspeakers/Lipspkr1/Clips/30degcam/sa1.mp4"
SPEAKER = re.compile(r"/(?P<speaker>\d{2}[MFT]|[Ll]ip[Ss]pkr\d)/")
CAMERA = re.compile(r"/(?P<camera>straightcam|30degcam)/", re.IGNORECASE)
TEST_VOLUNTEERS = frozenset(
    [
        "28M",
        "55F",
        "25M",
        "56M",
        "49F",
        "44F",
        "33F",
        "09F",
        "18M",
        "54M",
        "45F",
        "36F",
        "34M",
        "15F",
        "58F",
        "08F",
        "41M",
    ]
)
"""Harte, Gillen 2015: the recommended speaker-independent split of the volunteers."""
PROMPT = re.compile(r"\d+\s+\d+\s+(?P<text>\S.*)")
"""TIMIT's own text files: first and last sample, sentence."""
EVALUATION_SHARE = 0.05


def fits(path: Path) -> str | None:
    """The speaker's folder."""
    found = SPEAKER.search(path.as_posix())
    return None if found is None else as_text(found["speaker"])


def read(place: Path, findings: Findings) -> None:
    """Rows of both groups and both cameras."""
    files = those_that_fit(place, findings, fits, EXPECTED)
    sentences: dict[str, set[str]] = defaultdict(set)
    speakers = {path: str(fits(path.absolute())) for path in files}
    for path, speaker in speakers.items():
        sentences[speaker].add(path.stem.lower())
    parts = {s: _drawn(s, names) for s, names in sentences.items() if _is_lipspeaker(s)}
    without = 0
    for path, speaker in speakers.items():
        camera = CAMERA.search(path.absolute().as_posix())
        name = path.stem.lower()
        text = _text(path)
        without += text is None
        findings.rows.append(
            file_row(
                path,
                "/".join([speaker, *([camera["camera"].lower()] if camera else []), name]),
                speaker=speaker,
                split=parts[speaker][name]
                if speaker in parts
                else ("test" if speaker in TEST_VOLUNTEERS else "train"),
                text=text,
            )
        )
    if without:
        findings.notes.append(
            f"{without} of {len(files)} clips have no sentence beside them (sa1.txt in TIMIT's "
            "form): the label files (.mlf) hold phones, no words"
        )
    one = sorted(s for s in sentences if len(_cameras(speakers, s)) == 1)
    if one:
        findings.notes.append(f"one camera alone is here of {in_words(one)}; two were published")


def _cameras(speakers: dict[Path, str], speaker: str) -> set[str]:
    found = (CAMERA.search(p.absolute().as_posix()) for p, s in speakers.items() if s == speaker)
    return {c["camera"].lower() for c in found if c}


def _is_lipspeaker(speaker: str) -> bool:
    return speaker.lower().startswith("lipspkr")


def _drawn(speaker: str, names: set[str]) -> dict[str, str]:
    """The part of each sentence: 5 % test, 5 % val, those whose hash is lowest."""
    ranked = sorted(
        names, key=lambda n: hashlib.sha256(f"tcd-timit 90/5/5 {speaker}/{n}".encode()).digest()
    )
    count = round(EVALUATION_SHARE * len(ranked))
    return {
        name: "test" if i < count else "val" if i < 2 * count else "train"
        for i, name in enumerate(ranked)
    }


def _text(path: Path) -> str | None:
    beside = path.with_suffix(".txt")
    try:
        found = PROMPT.match(beside.read_text(encoding="utf-8-sig").strip())
    except (OSError, ValueError):
        return None
    return None if found is None else found["text"]


TCD_TIMIT = Corpus(
    "tcd_timit",
    "TCD-TIMIT",
    "Harte, Gillen 2015; sigmedia.tcd.ie",
    "the folder with volunteers and lipspeakers, or one of them",
    "own agreement, for research; by request",
    "1.8 of lipspeakers (SLTS, table 1); 6913 sentences of 62 speakers in all",
    "SLTS, Ephrat, Vougioukas",
    read,
    fits,
    media_licence="other",
)
