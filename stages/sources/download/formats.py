"""Which formats to fetch: the best picture up to a height, the original sound, untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

KINDS = {
    "dubbed": ("dubbed",),
    "described": ("descriptive", "audio description"),
    "compressed": ("drc",),
    "original": ("original",),
}
"""Kinds of sound, and the words by which sites name them in a format's note."""
ALTERED = tuple(word for kind in ("compressed", "dubbed", "described") for word in KINDS[kind])


def _note(item: dict[str, Any]) -> str:
    return " ".join(str(item.get(k) or "") for k in ("format_note", "format_id", "format")).lower()


def is_altered(item: dict[str, Any]) -> bool:
    """Dubbed, described or dynamically compressed sound."""
    return any(word in _note(item) for word in ALTERED)


def sound_facts(info: dict[str, Any]) -> dict[str, Any]:
    """What a site says of the sound that was kept and of the others it offers, as fields of
    `Fetched`: null and empty where it says nothing.

    Of several languages the one that the site prefers is the one the video was made in; sites
    rank it above all others, dubbed sound below.
    """
    offered = [f for f in info.get("formats") or [] if has(f, "acodec") and f.get("language")]
    languages = sorted({str(f["language"]) for f in offered})
    ranked = {f["language"]: f.get("language_preference") or -1 for f in offered}
    first = [f for f in offered if not is_altered(f)]
    original = [f for f in first if "original" in _note(f)]
    if not original and len(set(ranked.values())) > 1:
        best = max(ranked.values())
        original = [f for f in first if ranked[f["language"]] == best]
    named = str(original[0]["language"]) if original else None
    if named is None and len(languages) == 1:
        named = languages[0]
    if named is None:  # machine-made captions of what is said say in which language it is
        spoken = [t for t in info.get("automatic_captions") or {} if t.endswith("-orig")]
        named = spoken[0].removesuffix("-orig") if len(spoken) == 1 else None
    return {
        "original_language": named,
        "sound_kind": _kind_of(_kept_sound(info), named, len(languages) > 1),
        "sound_languages": languages,
    }


def _kept_sound(info: dict[str, Any]) -> dict[str, Any]:
    """The format whose sound was kept; that of the whole where it is one file."""
    kept = [f for f in info.get("requested_formats") or [] if has(f, "acodec")]
    return kept[-1] if kept else info


def _kind_of(kept: dict[str, Any], original: str | None, is_one_of_many: bool) -> str | None:
    note, language = _note(kept), kept.get("language")
    for kind, words in KINDS.items():
        if any(word in note for word in words):
            return kind
    if not (is_one_of_many and original and language):
        return None
    return "original" if language == original else "dubbed"


def has(item: dict[str, Any], kind: str) -> bool:
    """Whether a format carries `vcodec` or `acodec`."""
    return item.get(kind) not in (None, "none")


def original_first(items: list[dict[str, Any]], language: str | None) -> list[dict[str, Any]]:
    """Formats whose sound is wanted: unaltered, in `language` if given, else the original's.

    The original is what the site prefers by language, else the language listed first.
    """
    items = [i for i in items if not is_altered(i)] or items
    if language:
        return [i for i in items if (i.get("language") or "").startswith(language)] or items
    best = max((i.get("language_preference") or -1 for i in items), default=-1)
    items = [i for i in items if (i.get("language_preference") or -1) == best]
    spoken = [i for i in items if i.get("language")]
    if spoken:
        first = min(spoken, key=lambda i: i.get("manifest_order", 0))["language"]
        items = [i for i in items if i.get("language") in (first, None)]
    return items


def selector(max_height: int, language: str | None) -> Callable[[dict], Iterator[dict]]:
    """A format selector for yt-dlp. Formats come sorted, best last."""

    def select(context: dict[str, Any]) -> Iterator[dict[str, Any]]:
        formats = context["formats"]
        fitting = [f for f in formats if (f.get("height") or 0) <= max_height] or formats
        pictures = [f for f in fitting if has(f, "vcodec") and not has(f, "acodec")]
        sounds = [f for f in formats if has(f, "acodec") and not has(f, "vcodec")]
        # A plain file does not say what is in it: codecs unknown is not codecs absent.
        both = [
            f
            for f in fitting
            if (has(f, "vcodec") and has(f, "acodec"))
            or (f.get("vcodec") is None and f.get("acodec") is None)
            or (has(f, "vcodec") and f.get("acodec") is None)
        ]
        sounds = original_first(sounds, language)
        if pictures and sounds:
            picture, sound = pictures[-1], sounds[-1]
            yield {
                "requested_formats": [picture, sound],
                "ext": "mkv",
                "protocol": "+".join(str(f.get("protocol")) for f in (picture, sound)),
                "format": f"{picture.get('format')}+{sound.get('format')}",
                "format_id": f"{picture['format_id']}+{sound['format_id']}",
                "language": sound.get("language"),
                "vcodec": picture.get("vcodec"),
                "acodec": sound.get("acodec"),
                "height": picture.get("height"),
            }
        elif both:
            yield original_first(both, language)[-1]
        elif fitting:
            yield fitting[-1]

    return select


def spoken_captions(info: dict[str, Any]) -> dict[str, Any]:
    """The machine-made captions of what is said; sites also offer them machine-translated."""
    offered = info.get("automatic_captions") or {}
    original = {tag: kept for tag, kept in offered.items() if tag.endswith("-orig")}
    if original:
        return original
    base = (info.get("language") or "").split("-")[0]
    return {
        tag: kept for tag, kept in offered.items() if base and tag.split("-")[0] == base
    } or offered
