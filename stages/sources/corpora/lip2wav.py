"""Lip2Wav (Prajwal et al. 2020): lectures of five speakers on YouTube, listed by part.

`lip2wav:chem` is the official list of one speaker (`lip2wav.txt` beside this file), `lip2wav:all`
of the five; `lip2wav:PATH` is a folder `Dataset` or `Dataset/chem` with the authors' lists and,
where their script has run, `videos/ID.mp4`. Videos that are there are taken, the others are links.

The authors cut pieces of 30 s by copying streams, which moves sound against picture (SLTS, section
1, footnote 1; `yld doctor --sync` shows it). Here the whole video is decoded, and its pieces are
spans of 750 frames that no clip crosses. Files of `intervals` carry that mistake, and are taken
only where the videos are not there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from manifests import walk
from manifests.paths import as_text
from manifests.plain_words import read_text
from stages.sources.corpora.rows import (
    Corpus,
    CorpusError,
    Findings,
    Row,
    file_row,
    in_words,
    media_of,
    youtube_link,
)

SPEAKERS = ("chem", "chess", "dl", "hs", "eh")
PARTS = ("train", "val", "test")
CHUNK_S = 30.0
"""Section 4.1.1 of SLTS, and the authors' download_speaker.sh."""
LAID_OUT = re.compile(r"/(?:Dataset|lip2wav|Lip2Wav)/(?P<speaker>[^/]+)/")
LIST = Path(__file__).with_name("lip2wav.txt")


def fits(path: Path) -> str | None:
    """The folder after `Dataset`."""
    found = LAID_OUT.search(path.as_posix())
    return None if found is None else as_text(found["speaker"])


@cache
def official() -> dict[str, list[tuple[str, str]]]:
    """By speaker the part and id of each video, as the authors list them."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in LIST.read_text().splitlines():
        if not line.startswith("#"):
            speaker, part, video = line.split("\t")
            found[speaker].append((part, video))
    return dict(found)


def read(place: Path, findings: Findings) -> None:
    """Rows of one speaker or several, by name or by folder. Raises CorpusError."""
    name = place.name
    if not place.exists() and name in (*SPEAKERS, "all"):
        for speaker in SPEAKERS if name == "all" else (name,):
            _rows(speaker, official()[speaker], None, findings)
        return
    if not place.exists():
        raise CorpusError(
            f"lip2wav:{as_text(place)} is neither a speaker ({', '.join(SPEAKERS)}, all) "
            "nor a folder"
        )
    if place.is_file():
        findings.rows.append(_row(place, fits(place.absolute()), None))
        return
    folders = _speaker_folders(place)
    if not folders:
        _loose(place, findings)
        return
    for folder in folders:
        listed = [
            (part, video)
            for part in PARTS
            if (path := folder / f"{part}.txt").is_file()
            for video in read_text(path).split()
        ]
        _rows(folder.name, listed, folder, findings)


def _speaker_folders(place: Path) -> list[Path]:
    """Folders with the authors' lists: the place itself, or those in it (or in its Dataset)."""
    inside = [p for root in (place, place / "Dataset") if root.is_dir() for p in root.iterdir()]
    return [p for p in (place, *sorted(inside)) if (p / "train.txt").is_file()]


def _loose(place: Path, findings: Findings) -> None:
    """A folder without lists: parts by the official ones, where a name is known there."""
    part_of = {v: (s, p) for s, listed in official().items() for p, v in listed}
    files = media_of(place, findings)
    if not any(p.stem in part_of or fits(p.absolute()) for p in files):
        raise CorpusError(
            f"{as_text(place)} is not laid out as lip2wav: expected train.txt, val.txt and "
            f"test.txt, or videos/ID.mp4 of the official lists; found "
            f"{in_words(as_text(p.name) for p in files)}"
        )
    for path in files:
        speaker, part = part_of.get(path.stem, (fits(path.absolute()), None))
        findings.rows.append(_row(path, speaker, part))


def _row(path: Path, speaker: str | None, part: str | None) -> Row:
    return file_row(
        path, f"{speaker}/{as_text(path.stem)}", speaker=speaker, split=part, every_s=CHUNK_S
    )


def _rows(speaker: str, listed, folder: Path | None, findings: Findings) -> None:
    there = _videos(folder) if folder is not None else {}
    cut = _pieces(folder) if folder is not None else {}
    copied = []
    for part, video in listed:
        known: dict[str, Any] = {"speaker": speaker, "split": part}
        name = f"{speaker}/{video}"
        if video in there:
            findings.rows.append(file_row(there[video], name, every_s=CHUNK_S, **known))
        elif video in cut:
            copied.append(video)
            for path in cut[video]:
                findings.rows.append(file_row(path, f"{name}/{as_text(path.stem)}", **known))
        else:
            findings.rows.append(Row(youtube_link(video), "link", name, every_s=CHUNK_S, **known))
    if copied:
        findings.notes.append(
            f"{speaker}: {len(copied)} videos are here only as pieces that were cut by copying, "
            f"which moves sound against picture ({in_words(copied)}); the whole videos are better, "
            "`yld audit` measures the pieces"
        )
    links = sum(r.kind == "link" for r in findings.rows)
    if folder is not None and links:
        findings.notes.append(f"{links} videos are not in videos/ and will be fetched")


def _videos(folder: Path) -> dict[str, Path]:
    place = folder / "videos"
    return {p.stem: p for p in walk.find_media(place).files} if place.is_dir() else {}


def _pieces(folder: Path) -> dict[str, list[Path]]:
    place, by = folder / "intervals", defaultdict(list)
    for path in walk.find_media(place).files if place.is_dir() else ():
        by[path.parent.name].append(path)
    return dict(by)


LIP2WAV = Corpus(
    "lip2wav",
    "Lip2Wav: lectures of five speakers",
    "Prajwal et al. 2020; github.com/Rudrabha/Lip2Wav",
    "chem, chess, dl, hs, eh or all (official links); or a folder Dataset or Dataset/chem",
    "lists MIT; each video has its own terms on YouTube",
    "about 120 (20 a speaker)",
    "SLTS, Lip2Wav",
    read,
    fits,
)
