"""LRS2-BBC and LRS3-TED (Afouras et al. 2018): face crops of 160 or 224 px at 25 fps with `.txt`
beside them (`manifests.text.alignments` reads it).

LRS2: `main/5535415699068794046/00001.mp4`, `pretrain/...`; `train.txt`, `val.txt`, `test.txt` and
`pretrain.txt` list the parts (of a line of test.txt the first word counts: `ID/00011 NF`). LRS3:
`pretrain/ID/00001.mp4`, `trainval/ID/...`, `test/ID/...`, ID being that of the talk on YouTube; its
trainval has no val of its own.
"""

from __future__ import annotations

import re
from pathlib import Path

from manifests.paths import as_text
from manifests.plain_words import read_text
from stages.sources.corpora.rows import Corpus, Findings, file_row, in_words, those_that_fit

LRS2_FILE = re.compile(r"/(?P<set>main|pretrain)/(?P<video>\d{10,20})/(?P<clip>\d{5})\.mp4$")
LRS3_FILE = re.compile(
    r"/(?P<set>pretrain|trainval|test)/(?P<video>[\w-]{11})/(?P<clip>\d{5})\.mp4$"
)
LISTS = {"train": "train", "val": "val", "test": "test", "pretrain": "train"}
LRS3_PARTS = {"pretrain": "train", "trainval": "train", "test": "test"}


def fits_lrs2(path: Path) -> str | None:
    """Whether it lies so; who speaks is not told."""
    return None if LRS2_FILE.search(path.as_posix()) is None else ""


def fits_lrs3(path: Path) -> str | None:
    """The talk, which stands for its speaker."""
    found = LRS3_FILE.search(path.as_posix())
    return None if found is None else as_text(found["video"])


def read_lrs2(place: Path, findings: Findings) -> None:
    """Rows with the parts of the list files."""
    files = those_that_fit(place, findings, fits_lrs2, "main/5535415699068794046/00001.mp4")
    parts = _listed(place, findings)
    unlisted = []
    for path in files:
        found = LRS2_FILE.search(path.absolute().as_posix())
        assert found is not None
        name = f"{found['video']}/{found['clip']}"
        split = "train" if found["set"] == "pretrain" else parts.get(name)
        if split is None:
            unlisted.append(name)
        findings.rows.append(file_row(path, f"{found['set']}/{name}", split=split))
    if unlisted:
        findings.notes.append(
            f"{len(unlisted)} clips of main stand in none of train.txt, val.txt, test.txt, and are "
            f"in no part: {in_words(unlisted)}"
        )
    _without_text(files, findings)


def _listed(place: Path, findings: Findings) -> dict[str, str]:
    """The part of each clip, by the list files that lie in the folder or above it."""
    parts: dict[str, str] = {}
    for folder in (place, *list(place.absolute().parents)[:2]):
        for name, part in LISTS.items():
            path = folder / f"{name}.txt"
            if path.is_file():
                for line in read_text(path).splitlines():
                    if words := line.split():
                        parts.setdefault(words[0].removeprefix("main/"), part)
        if parts:
            return parts
    findings.notes.append(
        f"expected train.txt, val.txt and test.txt in {as_text(place)} or above it; found none, so "
        "that clips of main are in no part"
    )
    return parts


def read_lrs3(place: Path, findings: Findings) -> None:
    """Rows with the part of their folder, and the talk as speaker."""
    files = those_that_fit(place, findings, fits_lrs3, "trainval/0Fi83BHQsMA/00002.mp4")
    for path in files:
        found = LRS3_FILE.search(path.absolute().as_posix())
        assert found is not None
        findings.rows.append(
            file_row(
                path,
                f"{found['set']}/{found['video']}/{found['clip']}",
                speaker=as_text(found["video"]),
                split=LRS3_PARTS[found["set"]],
            )
        )
    _without_text(files, findings)


def _without_text(files: list[Path], findings: Findings) -> None:
    bare = sum(not path.with_suffix(".txt").is_file() for path in files)
    if bare:
        findings.notes.append(f"{bare} of {len(files)} clips have no .txt beside them")


LRS2 = Corpus(
    "lrs2",
    "LRS2-BBC",
    "Afouras et al. 2018; robots.ox.ac.uk/~vgg/data/lip_reading/lrs2.html",
    "the folder mvlrs_v1, with main, pretrain and the list files",
    "BBC agreement, non-commercial research; by request",
    "224 (pretrain 195, main 29)",
    "Wav2Lip and its expert, VCA-GAN, SyncNet",
    read_lrs2,
    fits_lrs2,
    media_licence="other",
)
LRS3 = Corpus(
    "lrs3",
    "LRS3-TED",
    "Afouras, Chung, Zisserman 2018; robots.ox.ac.uk/~vgg/data/lip_reading/lrs3.html",
    "the folder with pretrain, trainval and test",
    "CC BY-NC-ND 4.0 (TED); by request",
    "438 (pretrain 407, trainval 30, test 1)",
    "Auto-AVSR, AV-HuBERT, VCA-GAN",
    read_lrs3,
    fits_lrs3,
    media_licence="cc-by-nc-nd-4.0",
)
