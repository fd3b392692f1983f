"""Acted sentences whose file names say all: CREMA-D and RAVDESS.

CREMA-D (Cao et al. 2014): `VideoFlash/1001_DFA_ANG_XX.flv`: actor, sentence, emotion, level.
RAVDESS (Livingstone, Russo 2018): `Actor_01/01-01-03-01-01-01-01.mp4`: modality (01 sound and
picture, 02 picture alone), channel (01 speech, 02 song), emotion, intensity, statement, repetition,
actor.
"""

from __future__ import annotations

import re
from pathlib import Path

from stages.sources.corpora.rows import Corpus, Findings, file_row, those_that_fit

CREMA_FILE = re.compile(
    r"/(?P<name>(?P<actor>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>[A-Z]{1,2}))"
    r"\.(?:flv|mp4)$"
)
CREMA_SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
"""The twelve sentences of CREMA-D, by the code in a name (its README)."""
RAVDESS_FILE = re.compile(
    r"/(?P<name>(?P<modality>0[12])-(?P<channel>0[12])-\d\d-\d\d-(?P<statement>0[12])-\d\d-(?P<actor>\d\d))"
    r"\.mp4$"
)
RAVDESS_STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}


def fits_crema_d(path: Path) -> str | None:
    """The actor."""
    found = CREMA_FILE.search(path.as_posix())
    return None if found is None else found["actor"]


def read_crema_d(place: Path, findings: Findings) -> None:
    """Rows of the clips of pictures and sound."""
    odd = 0
    for path in those_that_fit(place, findings, fits_crema_d, "VideoFlash/1001_DFA_ANG_XX.flv"):
        found = CREMA_FILE.search(path.absolute().as_posix())
        assert found is not None
        text = CREMA_SENTENCES.get(found["sentence"])
        odd += text is None
        findings.rows.append(file_row(path, found["name"], speaker=found["actor"], text=text))
    if odd:
        findings.notes.append(f"{odd} names have a sentence that is none of CREMA-D's twelve")


def fits_ravdess(path: Path) -> str | None:
    """The actor."""
    found = RAVDESS_FILE.search(path.as_posix())
    return None if found is None else f"Actor_{found['actor']}"


def read_ravdess(place: Path, findings: Findings) -> None:
    """Rows of what has pictures and sound: files of pictures alone are counted and left out."""
    silent = sung = 0
    for path in those_that_fit(place, findings, fits_ravdess, "Actor_01/01-01-03-01-01-01-01.mp4"):
        found = RAVDESS_FILE.search(path.absolute().as_posix())
        assert found is not None
        if found["modality"] == "02":
            silent += 1
            continue
        sung += found["channel"] == "02"
        findings.rows.append(
            file_row(
                path,
                found["name"],
                speaker=found["actor"],
                text=RAVDESS_STATEMENTS[found["statement"]],
            )
        )
    if silent:
        findings.notes.append(f"{silent} files without sound (modality 02) are left out")
    if sung:
        findings.notes.append(f"{sung} of {len(findings.rows)} clips are sung (channel 02)")


CREMA_D = Corpus(
    "crema_d",
    "CREMA-D",
    "Cao et al. 2014; github.com/CheyneyComputerScience/CREMA-D",
    "the repository's folder, or VideoFlash in it",
    "ODbL 1.0, contents DbCL 1.0",
    "5.3 (7442 clips, 91 actors)",
    "trainers of talking heads; emotion as a label",
    read_crema_d,
    fits_crema_d,
    media_licence="odbl",
)
RAVDESS = Corpus(
    "ravdess",
    "RAVDESS",
    "Livingstone, Russo 2018; zenodo.org/records/1188976",
    "the folder with Actor_01 to Actor_24",
    "CC BY-NC-SA 4.0",
    "not stated (1440 spoken and 1012 sung clips, 24 actors)",
    "trainers of talking heads; emotion as a label",
    read_ravdess,
    fits_ravdess,
    media_licence="cc-by-nc-sa-4.0",
)
