"""Transcripts that lie beside a local media file, by their names.

GRID's `.align` in the same folder, in `align` or `alignments` in it, beside it, or there in a
folder of the speaker's name; LRS2's and LRS3's `.txt` and plain `.vtt` and `.srt` of the same stem,
or of the stem and a language (`talk.en.srt`). Capital letters in names do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from manifests.paths import as_text
from manifests.text.alignments import is_lrs
from manifests.text.spoken import TranscriptError, decoded

MAX_BYTES = 8_000_000
CORPUS_SUFFIXES = frozenset({".align", ".txt"})
CAPTION_SUFFIXES = (".vtt", ".srt")
SUFFIXES = CORPUS_SUFFIXES | set(CAPTION_SUFFIXES)


@dataclass(frozen=True)
class Caption:
    """A caption file and what its name says: `name.{language}[.auto].{suffix}`."""

    path: str
    language: str
    is_automatic: bool


def beside(media: Path) -> Path | None:
    """The transcript that lies beside a media file in one of the published layouts."""
    try:
        return _beside(media)
    except OSError:  # a folder that may not be listed
        return None


def _beside(media: Path) -> Path | None:
    folder, speaker, parent = media.parent, media.parent.name, media.parent.parent
    align = f"{media.stem}.align"
    for place in (
        folder,
        folder / "align",
        folder / "alignments",
        parent / "align" / speaker,
        parent / "alignments" / speaker,
    ):
        if path := _file(place, align):
            return path
    # Speakers say the same sentences under the same names: one folder for all tells none apart.
    shared = parent / "align" / align
    if shared.is_file() and sum((f / media.name).is_file() for f in _folders(parent)) == 1:
        return shared
    text = _file(folder, f"{media.stem}.txt")
    if text and _is_lrs_file(text):
        return text
    return next(filter(None, (_file(folder, media.stem + s) for s in CAPTION_SUFFIXES)), None)


def captions_beside(media: Path) -> list[Caption]:
    """Files named as the media file and a language, as yt-dlp leaves them: `talk.en.srt`."""
    try:
        found = _listing(media.parent)[1].get(media.stem.lower(), ())
    except OSError:
        return []
    made = []
    for name in found:
        language = name[len(media.stem) + 1 :].rpartition(".")[0]
        made.append(
            Caption(
                as_text(media.parent / name),
                language.removesuffix(".auto"),
                language.endswith(".auto"),
            )
        )
    return made


def text_beside(media: Path) -> Path | None:
    """The text file of the same name, whatever is in it."""
    try:
        return _file(media.parent, f"{media.stem}.txt")
    except OSError:
        return None


def _file(folder: Path, name: str) -> Path | None:
    """The file of that name, or of that name with other capital letters."""
    if (folder / name).is_file():
        return folder / name
    found = _listing(folder)[0].get(name.lower()) if folder.is_dir() else None
    return folder / found if found else None


def _listing(folder: Path) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    return _listing_at(folder, folder.stat().st_mtime_ns)


@lru_cache(64)
def _listing_at(folder: Path, changed_ns: int) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Transcripts of a folder by name in small letters, and captions by what comes before their
    language. Once for a folder and not for each of its videos."""
    names: dict[str, str] = {}
    captions: dict[str, tuple[str, ...]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            names.setdefault(path.name.lower(), path.name)
            if path.suffix.lower() in CAPTION_SUFFIXES:
                parts = path.name.removesuffix(path.suffix).removesuffix(".auto").rpartition(".")
                if parts[0]:
                    key = parts[0].lower()
                    captions[key] = (*captions.get(key, ()), path.name)
    return names, captions


def _is_lrs_file(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return is_lrs(decoded(file.read(MAX_BYTES), ".txt"))
    except (OSError, TranscriptError):
        return False


@lru_cache(64)
def _folders(parent: Path) -> tuple[Path, ...]:
    return tuple(p for p in parent.iterdir() if p.is_dir())
