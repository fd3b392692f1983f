"""Which transcript belongs to a video: captions fetched with it, or files that lie beside it.

Beside a local file: GRID's `.align` in the same folder, in `align` or `alignments` in it, beside
it, or there in a folder of the speaker's name; LRS2's and LRS3's `.txt` and plain `.vtt` and
`.srt` of the same stem. These files are outside data: what cannot be read gives a reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from manifests.alignments import is_lrs, parse_grid, parse_lrs
from manifests.captions import parse_srt, parse_webvtt
from manifests.media import resolve
from manifests.records import Fetched, Video
from manifests.spoken import Transcript, TranscriptError, decoded

MAX_BYTES = 8_000_000
PARSERS = {".align": parse_grid, ".txt": parse_lrs, ".vtt": parse_webvtt, ".srt": parse_srt}
CORPUS_SUFFIXES = frozenset({".align", ".txt"})
LONGEST_OVERRUN_US = 1_000_000
"""An alignment that goes on for longer after its recording has ended is another one's."""
BIBLIOGRAPHIC = {
    "alb": "sqi", "arm": "hye", "baq": "eus", "bur": "mya", "chi": "zho", "cze": "ces",
    "dut": "nld", "fre": "fra", "geo": "kat", "ger": "deu", "gre": "ell", "ice": "isl",
    "mac": "mkd", "mao": "mri", "may": "msa", "per": "fas", "rum": "ron", "slo": "slk",
    "tib": "bod", "wel": "cym"}
"""ISO 639-2/B codes, which Matroska uses, to those of ISO 639-2/T."""
NO_TRANSCRIPT = "no transcript came with the source"


@dataclass(frozen=True)
class Found:
    """The transcript of a source, or the reason why there is none."""

    transcript: Transcript | None = None
    text_source: str | None = None
    """corpus | captions"""
    reason: str | None = None
    path: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Caption:
    """A caption file that was fetched, `{video_id}-{hash}.{language}[.auto].{suffix}`."""

    path: str
    language: str
    is_automatic: bool


def transcript_of(sources: Sequence[Fetched], video: Video, work: Path
                  ) -> tuple[Found, dict[str, Found]]:
    """The transcript of a video that was asked for as `sources`, and what each source has.

    Which one counts depends on contents alone: a transcript before none, a corpus's own before
    captions, then by hash.
    """
    by_source = {s.source_id: _of_source(s, video, work) for s in sources}
    return min(by_source.values(), key=lambda f: (
        f.transcript is None, f.text_source != "corpus", f.sha256 or "~", f.reason or "")
    ), by_source


def _of_source(source: Fetched, video: Video, work: Path) -> Found:
    if source.kind == "file":
        path = beside(Path(source.address))
        return Found(reason=NO_TRANSCRIPT) if path is None else _read(path, str(path), video)
    chosen, reason = in_order(map(caption_of, source.caption_paths),
                              source.language or video.audio_language)
    found = Found(reason=reason)
    for caption in chosen:
        found = _read(resolve(caption.path, work), caption.path, video)
        if found.transcript is not None:
            break
    return found


def _read(path: Path, name: str, video: Video) -> Found:
    """The transcript in a file, or why it cannot be used."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        return Found(reason=f"the {path.suffix} file cannot be read: {error.strerror}", path=name)
    digest = hashlib.sha256(content).hexdigest()
    try:
        if len(content) > MAX_BYTES:
            raise TranscriptError(f"the {path.suffix} file is larger than {MAX_BYTES} bytes")
        transcript = PARSERS[path.suffix](decoded(content, path.suffix))
        _check_length(transcript, video, path.suffix)
    except TranscriptError as error:
        return Found(reason=str(error), path=name, sha256=digest)
    kind = "corpus" if path.suffix in CORPUS_SUFFIXES else "captions"
    return Found(transcript, kind, None, name, digest)


def _check_length(transcript: Transcript, video: Video, suffix: str) -> None:
    if transcript.counts_from != "sound":
        return  # captions of a longer cut do no harm
    end = max((s.end_us or 0 for s in transcript.spans), default=0)
    length = video.duration_us - video.audio_start_us
    if end > length + LONGEST_OVERRUN_US:
        raise TranscriptError(f"the {suffix} file ends at {end / 1e6:.2f} s, the recording at "
                              f"{length / 1e6:.2f} s")


def beside(media: Path) -> Path | None:
    """The transcript that lies beside a media file in one of the published layouts."""
    try:
        return _beside(media)
    except OSError:  # a folder that may not be listed
        return None


def _beside(media: Path) -> Path | None:
    folder, speaker, parent = media.parent, media.parent.name, media.parent.parent
    align = f"{media.stem}.align"
    for path in (folder / align, folder / "align" / align, folder / "alignments" / align,
                 parent / "align" / speaker / align, parent / "alignments" / speaker / align):
        if path.is_file():
            return path
    # Speakers say the same sentences under the same names: one folder for all tells none apart.
    shared = parent / "align" / align
    if shared.is_file() and sum(
            (f / media.name).is_file() for f in _folders(parent)) == 1:
        return shared
    text = media.with_suffix(".txt")
    if text.is_file() and _is_lrs_file(text):
        return text
    return next((p for p in map(media.with_suffix, (".vtt", ".srt")) if p.is_file()), None)


def _is_lrs_file(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return is_lrs(decoded(file.read(MAX_BYTES), ".txt"))
    except (OSError, TranscriptError):
        return False


@lru_cache(64)
def _folders(parent: Path) -> tuple[Path, ...]:
    return tuple(p for p in parent.iterdir() if p.is_dir())


def caption_of(path: str) -> Caption:
    """What the name of a fetched caption file says."""
    language = path.rpartition("/")[2].partition(".")[2].rpartition(".")[0]
    return Caption(path, language.removesuffix(".auto"), language.endswith(".auto"))


def in_order(captions: Iterable[Caption], sound: str | None
             ) -> tuple[list[Caption], str | None]:
    """Captions in the language of the sound, best first; none, and the reason.

    Made by people before made by machines. Where the sound's language is not known it is that of
    the automatic captions of the original (`en-orig`), else the one that all captions are in.
    """
    usable = [c for c in captions if Path(c.path).suffix in (".vtt", ".srt")]
    if not usable:
        return [], NO_TRANSCRIPT
    spoken = language_of(sound)
    if spoken is None:
        original = {language_of(c.language) for c in usable if c.language.endswith("-orig")}
        tags = original or {language_of(c.language) for c in usable}
        if len(tags) > 1:
            return [], (f"there are captions in {', '.join(sorted(map(str, tags)))}, and the "
                        "language of the sound is not known")
        spoken = tags.pop()
    fitting = [c for c in usable if language_of(c.language) == spoken]
    if not fitting:
        tags = sorted({str(language_of(c.language)) for c in usable})
        return [], f"captions are in {', '.join(tags)}, the sound is in {spoken}"
    return sorted(fitting, key=lambda c: (
        c.is_automatic, c.language != sound, not c.language.endswith("-orig"), c.language, c.path)
    ), None


@lru_cache(1024)
def language_of(tag: str | None) -> str | None:
    """The language of a tag such as `en-GB`, `eng` or `de.orig`, as short as ISO 639 has it."""
    base = re.split(r"[-_.]", tag or "")[0].lower()
    if base in ("", "und", "na", "none"):
        return None
    if len(base) == 3:
        from yt_dlp.utils import ISO639Utils

        return ISO639Utils.long2short(BIBLIOGRAPHIC.get(base, base)) or base
    return base
