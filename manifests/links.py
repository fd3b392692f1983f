"""A corpus as links: what may be published of one made from links, without its media.

A text file of JSON lines: the first says what it is and the settings that differ from a build's
own, each other line is a video: where it is, what its bytes were, and its clips.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from manifests.paths import as_text

FORMAT, VERSION = "yld-links", 1
MAX_LINE_BYTES = 64 << 20
PRIVATE = ("workers.", "cookies", "allow_hosts", "identity.target", "device", "keep_sources")
"""Settings that are of a machine, or of a person: they change no sample, are not written, and what
somebody else wrote of them is not obeyed."""


class LinksError(ValueError):
    """The file is no corpus as links; the message names it and the line."""


@dataclass(frozen=True)
class Links:
    """What such a file holds."""

    head: Mapping[str, Any]
    videos: Sequence[Mapping[str, Any]]

    @property
    def addresses(self) -> list[str]:
        """Of the videos, in the file's order, each once."""
        return list(dict.fromkeys(video["address"] for video in self.videos))

    def settings(self) -> list[str]:
        """`key=value` of the settings the corpus was built with, where they differ."""
        return [
            f"{name}={json.dumps(value)}"
            for name, value in self.head.get("settings", {}).items()
            if not is_private(name)
        ]


def is_private(setting: str) -> bool:
    """Whether a setting stays where it was set."""
    return any(word in setting for word in PRIVATE)


def is_links(path: Path) -> bool:
    """Whether a file begins as one of these does."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.readline(MAX_LINE_BYTES)).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def text_of(head: Mapping[str, Any], videos: Sequence[Mapping[str, Any]]) -> str:
    """The file: the same for the same corpus."""
    first = {"format": FORMAT, "version": VERSION, **head}
    return "".join(
        json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in (first, *videos)
    )


def read_links(path: Path) -> Links:
    """Raises LinksError for what is none, OSError for what cannot be read."""
    rows = list(_rows(path))
    if not rows or rows[0].get("format") != FORMAT:
        raise LinksError(
            f"{as_text(path)} is no corpus as links; `yld export CORPUS --as links --out FILE` "
            "writes one"
        )
    if rows[0].get("version") != VERSION:
        raise LinksError(
            f"{as_text(path)} is of version {rows[0].get('version')}, this yld reads {VERSION}"
        )
    if not isinstance(rows[0].get("settings", {}), dict):
        raise LinksError(f"{as_text(path)}: its settings are none")
    for number, row in enumerate(rows[1:], 2):
        _check(path, number, row)
    return Links(rows[0], rows[1:])


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("no object")
            except (ValueError, RecursionError):
                raise LinksError(f"{as_text(path)}, line {number} is no JSON object") from None
            yield row


def _check(path: Path, number: int, row: Mapping[str, Any]) -> None:
    """Links alone: a file from outside names no file of this machine."""
    where = f"{as_text(path)}, line {number}"
    address = row.get("address")
    if not isinstance(address, str) or urlsplit(address).scheme not in ("http", "https"):
        raise LinksError(f"{where}: {str(address)[:100]!r} is no link of http or https")
    clips = row.get("clips")
    if not isinstance(row.get("video_id"), str) or not isinstance(clips, list):
        raise LinksError(f"{where} names no video, or no list of clips")
    for clip in clips:
        if not isinstance(clip, dict) or not isinstance(clip.get("clip_id"), str):
            raise LinksError(f"{where}: a clip without its id")
