"""Which transcript belongs to a video: captions fetched with it, or files that lie beside it.

Both are outside data: what cannot be read gives a reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from manifests.media.pictures import resolve
from manifests.paths import as_path, as_text
from manifests.records import Fetched, Hint, Video
from manifests.text.alignments import parse_grid, parse_lrs
from manifests.text.captions import parse_srt, parse_webvtt
from manifests.text.spoken import Span, Transcript, TranscriptError, decoded, plain
from stages.text.transcript_files import (
    CAPTION_SUFFIXES,
    CORPUS_SUFFIXES,
    MAX_BYTES,
    Caption,
    beside,
    captions_beside,
    text_beside,
)

PARSERS = {".align": parse_grid, ".txt": parse_lrs, ".vtt": parse_webvtt, ".srt": parse_srt}
LONGEST_OVERRUN_US = 1_000_000
"""An alignment that goes on for longer after its recording has ended is another one's."""
BIBLIOGRAPHIC = {
    "alb": "sqi",
    "arm": "hye",
    "baq": "eus",
    "bur": "mya",
    "chi": "zho",
    "cze": "ces",
    "dut": "nld",
    "fre": "fra",
    "geo": "kat",
    "ger": "deu",
    "gre": "ell",
    "ice": "isl",
    "mac": "mkd",
    "mao": "mri",
    "may": "msa",
    "per": "fas",
    "rum": "ron",
    "slo": "slk",
    "tib": "bod",
    "wel": "cym",
}
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


def transcript_of(
    sources: Sequence[Fetched],
    video: Video,
    work: Path,
    hints: Mapping[str, Sequence[Hint]] = MappingProxyType({}),
) -> tuple[Found, dict[str, Found]]:
    """The transcript of a video that was asked for as `sources`, and what each source has.
    `hints` are what its corpus says, by source.

    Which one counts depends on contents alone: a transcript before none, a corpus's own before
    captions, then by hash.
    """
    by_source = {
        s.source_id: _of_hints(hints.get(s.source_id, ()), video) or _of_source(s, video, work)
        for s in sources
    }
    return min(
        by_source.values(),
        key=lambda f: (
            f.transcript is None,
            f.text_source != "corpus",
            f.sha256 or "~",
            f.reason or "",
        ),
    ), by_source


def _of_hints(hints: Sequence[Hint], video: Video) -> Found | None:
    """What the corpus says, in a file that it names or in words; None where it says nothing."""
    for path in sorted({h.transcript_path for h in hints if h.transcript_path}):
        found = _read(as_path(path), path, video)
        if found.transcript is not None:
            return found
    spans = [span for hint in hints if (span := _span_of(hint)) is not None]
    if not spans:
        return None
    spans.sort(key=lambda s: (s.start_us, s.text))
    digest = hashlib.sha256(repr(spans).encode("utf-8", "surrogatepass")).hexdigest()
    return Found(Transcript(tuple(spans), "presentation"), "corpus", None, None, digest)


def _span_of(hint: Hint) -> Span | None:
    """A hint's text with its own times, else with those of its span; of one word, a word's."""
    text = plain(hint.text or "")
    if not text:
        return None
    has_times = hint.text_start_s is not None and hint.text_end_s is not None
    start_s = hint.text_start_s if has_times else hint.start_s
    end_s = hint.text_end_s if has_times else hint.end_s
    return Span(
        text,
        round((start_s or 0.0) * 1e6),
        None if end_s is None else round(end_s * 1e6),
        has_times and " " not in text,
    )


def _of_source(source: Fetched, video: Video, work: Path) -> Found:
    if source.kind == "file":
        media = as_path(source.address)
        if (path := beside(media)) is not None:
            return _read(path, as_text(path), video)
        captions, text = captions_beside(media), text_beside(media)
        missing = (
            NO_TRANSCRIPT
            if text is None
            else (
                f"{text.name} lies beside it, but is not in the form of LRS2 and LRS3 "
                "(`Text:  ...`)"
            )
        )
    else:
        captions, missing = list(map(caption_of, source.caption_paths)), NO_TRANSCRIPT
    if not captions:
        return Found(reason=missing)
    chosen, reason = in_order(captions, source.language or video.audio_language)
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
        suffix = path.suffix.lower()
        transcript = PARSERS[suffix](decoded(content, suffix))
        _check_length(transcript, video, path.suffix)
    except TranscriptError as error:
        return Found(reason=str(error), path=name, sha256=digest)
    kind = "corpus" if suffix in CORPUS_SUFFIXES else "captions"
    return Found(transcript, kind, None, name, digest)


def _check_length(transcript: Transcript, video: Video, suffix: str) -> None:
    if transcript.counts_from != "sound":
        return  # captions of a longer cut do no harm
    end = max((s.end_us or 0 for s in transcript.spans), default=0)
    length = video.duration_us - video.audio_start_us
    if end > length + LONGEST_OVERRUN_US:
        raise TranscriptError(
            f"the {suffix} file ends at {end / 1e6:.2f} s, the recording at {length / 1e6:.2f} s"
        )


def caption_of(path: str) -> Caption:
    """What the name of a fetched caption file says."""
    language = path.rpartition("/")[2].partition(".")[2].rpartition(".")[0]
    return Caption(path, language.removesuffix(".auto"), language.endswith(".auto"))


def in_order(captions: Iterable[Caption], sound: str | None) -> tuple[list[Caption], str | None]:
    """Captions in the language of the sound, best first; none, and the reason.

    Made by people before made by machines. Where the sound's language is not known it is that of
    the automatic captions of the original (`en-orig`), else the one that all captions are in.
    """
    usable = [c for c in captions if Path(c.path).suffix.lower() in CAPTION_SUFFIXES]
    if not usable:
        return [], NO_TRANSCRIPT
    spoken = language_of(sound)
    if spoken is None:
        original = {language_of(c.language) for c in usable if c.language.endswith("-orig")}
        tags = original or {language_of(c.language) for c in usable}
        if len(tags) > 1:
            return [], (
                f"there are captions in {', '.join(sorted(map(str, tags)))}, and the "
                "language of the sound is not known"
            )
        spoken = tags.pop()
    fitting = [c for c in usable if language_of(c.language) == spoken]
    if not fitting:
        found = sorted({str(language_of(c.language)) for c in usable})
        return [], f"captions are in {', '.join(found)}, the sound is in {spoken}"
    return sorted(
        fitting,
        key=lambda c: (
            c.is_automatic,
            c.language != sound,
            not c.language.endswith("-orig"),
            c.language,
            c.path,
        ),
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
