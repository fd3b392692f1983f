"""GRID (Cooke et al. 2006): `s1/bbaf2n.mpg`, 34 talkers of 1000 sentences, s21 without video.

Alignments lie in `align/s1/bbaf2n.align` (or `alignments`). In the archive of 2020
(zenodo.org/records/3625687) nineteen of these folders carry another talker's number, and s20 has
none (lhotse-speech/lhotse, `recipes/grid.py`, has the table; its pull requests 1501 and 1502 say
so): the folder whose names are the talker's own is the right one, whatever it is called. A file's
name is its sentence, so one without alignment still has a text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from manifests import walk
from manifests.paths import as_text
from manifests.text.alignments import parse_grid
from manifests.text.spoken import TranscriptError, decoded
from stages.sources.corpora.rows import Corpus, Findings, file_row, in_words, those_that_fit

EXPECTED = "s1/bbaf2n.mpg (talker, sentence)"
LAID_OUT = re.compile(
    r"/(?P<speaker>(?:[\w-]*_)?s(?P<number>\d{1,2}))/(?:video/)?"
    r"(?P<name>[blps][bgrw][abiw][a-z][0-9z][anps])\.(?:mpg|mpeg|mp4|avi|mov)$"
)
WORDS = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(
        zip(
            "z123456789",
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
            strict=True,
        )
    ),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
"""Cooke et al. 2006, Table I: command, colour, preposition, letter (no W), digit, adverb; 51
words."""
CLIPS_EACH = 1000
WITHOUT_VIDEO = frozenset({21})
TALKERS = frozenset(range(1, 35))
NUM_LOOKED_INTO = 20
"""Alignments of a folder that are compared with their names."""
OWN_SHARE = 0.5
"""Share of a talker's names that a folder must have to be the talker's."""


@dataclass(frozen=True)
class _Folder:
    """A folder with alignments, by the stems of its files."""

    place: Path
    files: dict[str, Path]


def fits(path: Path) -> str | None:
    """The folder of a talker, as it is called."""
    found = LAID_OUT.search(path.as_posix())
    return None if found is None else as_text(found["speaker"])


def sentence_of(name: str) -> str | None:
    """What `bbaf2n` says: `bin blue at f two now`."""
    if len(name) != len(WORDS) or any(c not in table for c, table in zip(name, WORDS, strict=True)):
        return None
    return " ".join(table[c] for c, table in zip(name, WORDS, strict=True))


def read(place: Path, findings: Findings) -> None:
    """Rows of all talkers below a folder."""
    files = those_that_fit(place, findings, fits, EXPECTED)
    by: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in files:
        found = LAID_OUT.search(path.absolute().as_posix())
        assert found is not None
        by[f"s{int(found['number'])}"][found["name"]] = path
    folders = _folders(place if place.is_dir() else place.parent)
    moved, bare = [], []
    for speaker in sorted(by, key=lambda s: int(s[1:])):
        folder = _folder_of(speaker, by[speaker], folders, findings)
        if folder is None:
            bare.append(speaker)
        elif folder.place.name not in (speaker, *_places(by[speaker])):
            moved.append(f"{speaker}: {as_text(folder.place.name)}")
        for name, path in sorted(by[speaker].items()):
            align = None if folder is None else folder.files.get(name)
            findings.rows.append(
                file_row(
                    path,
                    f"{speaker}/{name}",
                    speaker=speaker,
                    text=sentence_of(name),
                    transcript_path=None if align is None else as_text(align.resolve()),
                )
            )
    _tell(findings, by, moved, bare)


def _folders(root: Path) -> list[_Folder]:
    found: dict[Path, dict[str, Path]] = defaultdict(dict)
    for path in walk.walk(root).files:
        if path.suffix.lower() == ".align":
            found[path.parent][path.stem.lower()] = path
    return [_Folder(place, files) for place, files in sorted(found.items())]


def _folder_of(
    speaker: str, videos: dict[str, Path], folders: list[_Folder], findings: Findings
) -> _Folder | None:
    """The folder that holds most of the talker's names, the one of its own name before others."""
    ranked = sorted(
        folders,
        key=lambda f: (-sum(n in f.files for n in videos), f.place.name != speaker, f.place),
    )
    if not ranked or sum(n in ranked[0].files for n in videos) < OWN_SHARE * len(videos):
        return None
    chosen = ranked[0]
    names = sorted(n for n in videos if n in chosen.files)
    looked = names[:: max(1, len(names) // NUM_LOOKED_INTO)]
    odd = [n for n in looked if _disagrees(chosen.files[n], n)]
    if len(odd) > len(looked) / 2:
        findings.notes.append(
            f"the alignments in {as_text(chosen.place)} say other words than the names of the "
            f"files of {speaker} ({in_words(odd)}); they are not used"
        )
        return None
    return chosen


def _disagrees(align: Path, name: str) -> bool:
    try:
        words = [s.text for s in parse_grid(decoded(align.read_bytes(), ".align")).spans]
    except (OSError, TranscriptError):
        return True
    return " ".join(words).lower() != sentence_of(name)


def _places(videos: dict[str, Path]) -> set[str]:
    """Names of folders that are no talker's: where the videos lie, and the usual ones in there."""
    return {p.parent.name for p in videos.values()} | {"align", "alignments"}


def _tell(findings: Findings, by: dict[str, dict[str, Path]], moved, bare) -> None:
    if moved:
        findings.notes.append(
            "alignment folders that carry another talker's number (the archive's own mistake) were "
            f"put right by the names in them: {in_words(moved)}"
        )
    if bare:
        findings.notes.append(
            f"no folder of alignments has the names of {in_words(bare)}; their texts are the "
            "sentences that the files are named after, without times"
        )
    numbers = {int(speaker[1:]) for speaker in by}
    if absent := sorted(TALKERS - WITHOUT_VIDEO - numbers):
        findings.notes.append(
            f"{len(numbers)} of the 33 talkers with video are here (s21 was published without); "
            f"not here: {in_words(f's{n}' for n in absent)}"
        )
    short = [f"{s} {len(v)}" for s, v in sorted(by.items()) if len(v) < CLIPS_EACH]
    if short:
        findings.notes.append(f"talkers with fewer than {CLIPS_EACH} sentences: {in_words(short)}")


GRID = Corpus(
    "grid",
    "GRID audiovisual sentence corpus",
    "Cooke, Barker, Cunningham, Shao 2006; zenodo.org/records/3625687",
    "the folder with s1, s2, ... and, if there, align or alignments",
    "CC BY 4.0",
    "27.5 (33 talkers x 1000 x 3 s)",
    "SLTS, Vougioukas, Ephrat, Vid2Speech, VCA-GAN",
    read,
    fits,
    media_licence="cc-by-4.0",
)
