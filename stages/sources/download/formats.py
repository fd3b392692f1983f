"""Which formats to fetch: the best picture up to a height, the original sound, untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def is_altered(item: dict[str, Any]) -> bool:
    """Dubbed, described or dynamically compressed sound."""
    note = " ".join(str(item.get(k) or "") for k in ("format_note", "format_id", "format")).lower()
    return any(w in note for w in ("drc", "dubbed", "descriptive", "audio description"))


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
