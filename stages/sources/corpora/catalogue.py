"""The table of corpora: `yld corpora` shows it, `yld build NAME:PATH` and `yld audit` read by it.

How to add one: docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from manifests.paths import as_text
from stages.sources.corpora.acted import CREMA_D, RAVDESS
from stages.sources.corpora.avspeech import AVSPEECH
from stages.sources.corpora.grid import GRID
from stages.sources.corpora.hdtf import HDTF
from stages.sources.corpora.lip2wav import LIP2WAV
from stages.sources.corpora.lrs import LRS2, LRS3
from stages.sources.corpora.lrw import LRW
from stages.sources.corpora.plain import FOLDER, WEBDATASET
from stages.sources.corpora.rows import Corpus, CorpusError, Findings, place_of
from stages.sources.corpora.talkvid import TALKVID
from stages.sources.corpora.tcd_timit import TCD_TIMIT
from stages.sources.corpora.utkface import UTKFACE
from stages.sources.corpora.vggsound import VGGSOUND
from stages.sources.corpora.voxceleb import VOXCELEB

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        GRID,
        TCD_TIMIT,
        LRW,
        LRS2,
        LRS3,
        LIP2WAV,
        VOXCELEB,
        AVSPEECH,
        TALKVID,
        HDTF,
        CREMA_D,
        RAVDESS,
        VGGSOUND,
        UTKFACE,
        WEBDATASET,
        FOLDER,
    )
}
BY_MEDIA = tuple(
    corpus
    for corpus in CORPORA.values()
    if corpus.makes == "videos"
    and corpus not in (AVSPEECH, TALKVID, HDTF, VGGSOUND)
    and corpus not in (WEBDATASET, FOLDER)
)
"""Those that are known by where their media files lie, in the order in which they are tried."""


def named(argument: str) -> tuple[Corpus, str] | None:
    """The corpus and place of `NAME:PLACE`; None where no corpus is named so."""
    name, colon, place = argument.partition(":")
    corpus = CORPORA.get(name.replace("-", "_"))
    return (corpus, place) if colon and corpus is not None and not place.startswith("//") else None


def find(argument: str) -> Findings:
    """What `NAME:PLACE` holds. Raises CorpusError with what was expected and what was found."""
    found = named(argument)
    if found is None:
        raise CorpusError(
            f"{argument!r} names no corpus; there are: {', '.join(CORPORA)} (`yld corpora`)"
        )
    return read(*found)


def read(corpus: Corpus, place: str, skip: Path | None = None) -> Findings:
    """What a corpus has at a place; nothing in `skip`, where results lie. Raises CorpusError."""
    if not place.strip():
        raise CorpusError(f"{corpus.name}: needs a place: {corpus.needs}")
    path = place_of(place)
    findings = Findings(corpus.name, f"{corpus.name}:{as_text(place)}", skip=skip)
    if corpus is not LIP2WAV and not path.exists():
        raise CorpusError(f"{as_text(place)} does not exist; {corpus.name} needs {corpus.needs}")
    corpus.read(path, findings)
    if missing := sum(row.missing is not None for row in findings.rows):
        findings.notes.append(f"{missing} of {len(findings.rows)} are not there")
    return findings


def by_media(files: Sequence[Path]) -> Corpus:
    """The corpus that most of these media files lie as; `folder` where they lie as none's."""
    for corpus in BY_MEDIA:
        fitting = sum(corpus.fits(path.resolve()) is not None for path in files)
        if files and fitting > len(files) / 2:
            return corpus
    return FOLDER


def markdown() -> str:
    """The table of docs/corpora.md."""
    head = "| corpus | what `PLACE` is | licence terms | hours | wanted by |"
    lines = [
        f"| `{c.name}`: {c.title} ({c.paper}) | {c.needs} | {c.licence} | {c.hours} "
        f"| {c.wanted_by} |"
        for c in CORPORA.values()
    ]
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *lines])


if __name__ == "__main__":
    print(markdown())
