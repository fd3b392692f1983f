"""Ids: deterministic, built from the parent's, and safe as file names and WebDataset keys.

Grammar `[A-Za-z0-9_-]+`, at most 120 characters. Site ids are escaped injectively, and so that
ids which differ only by case stay distinct on file systems that do not tell case apart.
"""

from __future__ import annotations

import hashlib
import re

GRAMMAR = re.compile(r"[A-Za-z0-9_-]+")
MAX_LENGTH = 120
NAMELESS = frozenset(
    {
        "generic",
        "file",
        "html5mediaembed",
        "quotedhtml",
        "rtmp",
        "mms",
        "camtasiaembed",
        "wordpressplaylistembed",
        "wordpressminiaudioplayerembed",
    }
)
"""Extractors of yt-dlp for any site at all, whose ids are the stems of pages or files."""
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def escape(text: str) -> str:
    """`text` in lower-case letters, digits, `-` and `_`, injectively.

    Lower-case letters, digits and `-` stay; an upper-case letter becomes `_` and its lower-case
    form; anything else `_0` and six hexadecimal digits of its code point.

    >>> escape("dQw4w9WgXcQ"), escape("-a_b")
    ('d_qw4w9_wg_xc_q', '-a_000005fb')
    """
    return "".join(
        c if c in PLAIN else f"_{c.lower()}" if "A" <= c <= "Z" else f"_0{ord(c):06x}" for c in text
    )


def hash_id(*parts: str, length: int = 20) -> str:
    """A hash of several strings, as a short id."""
    joined = "\x1f".join(str(p) for p in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def video_id(extractor: str | None, site_id: str | None, sha256: str) -> str:
    """`{extractor}_{escaped id}` for a named site; a hash of the bytes otherwise.

    yt-dlp's id of what no site named is only the stem of a page or file, so it names nothing.
    """
    if extractor is None or site_id is None or extractor.lower() in NAMELESS:
        return f"f{sha256[:20]}"
    name = f"{escape(extractor.lower())}_{escape(site_id)}"
    if len(name) > 80:
        name = f"{name[:50]}_1{hash_id(extractor, site_id)}"
    return name


def shot_id(video: str, number: int) -> str:
    """`{video_id}-s###`."""
    return f"{video}-s{number:03d}"


def track_id(shot: str, number: int) -> str:
    """`{shot_id}-t###`."""
    return f"{shot}-t{number:03d}"


def clip_id(track: str, number: int) -> str:
    """`{track_id}-c###`."""
    return f"{track}-c{number:03d}"


def check_key(key: str) -> str:
    """`key` itself. Raises ValueError if it is not safe as a WebDataset key."""
    if not GRAMMAR.fullmatch(key) or len(key) > MAX_LENGTH:
        raise ValueError(f"{key!r} is no key: letters, digits, _ and -, up to {MAX_LENGTH}")
    return key
