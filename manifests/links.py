"""A corpus as links: what may be published of one made from links, without its media.

A text file of JSON lines: the first says what it is and the settings that differ from a build's
own, each other line is a video: where it is, what its bytes were, and its clips.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from manifests.ids import hash_id
from manifests.paths import as_text
from manifests.records import Hint

FORMAT, VERSION = "yld-links", 1
MAX_LINE_BYTES = 64 << 20
PRIVATE = ("workers.", "cookies", "allow_hosts", "identity.target", "device", "keep_sources")
"""Settings that are of a machine, or of a person: they change no sample, are not written, and what
somebody else wrote of them is not obeyed."""

NOT_SAID = frozenset(
    {"hint_id", "request_id", "text", "text_start_s", "text_end_s", "transcript_path"}
)
"""Of what corpora say of a source, these stay at home: ids are made anew, texts have owners of
their own, and paths are of a machine."""
NUMBERS = ("start_s", "end_s", "every_s", "point_x", "point_y")
CORPUS = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Names of adapters, which become part of speakers' ids."""


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

    def hints(self, request_ids: Mapping[str, str]) -> list[Hint]:
        """What the first corpus was told of these links (spans, boxes, points, speakers, parts), by
        ids of the requests for them."""
        told = (
            (request_ids[video["address"]], said)
            for video in self.videos
            if video["address"] in request_ids
            for said in video.get("hints", ())
        )
        return [Hint(hint_id(of, s["corpus"], s["name"]), of, **s) for of, s in told]

    def settings(self) -> list[str]:
        """`key=value` of the settings the corpus was built with, where they differ."""
        return [
            f"{name}={json.dumps(value)}"
            for name, value in self.head.get("settings", {}).items()
            if not is_private(name)
        ]


def hint_id(request_id: str, corpus: str, name: str) -> str:
    """Of what a corpus says of the segment that it calls `name`."""
    return f"h{hash_id(request_id, corpus, name)}"


def as_said(hint: Hint) -> dict[str, Any]:
    """What may be published of a hint; what it does not know is left out."""
    known = {f.name: getattr(hint, f.name) for f in fields(Hint) if f.name not in NOT_SAID}
    return {name: value for name, value in known.items() if value not in (None, [])}


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
    hints = row.get("hints", [])
    if not isinstance(hints, list) or not all(map(_is_hint, hints)):
        raise LinksError(f"{where}: what it says of spans, faces and speakers cannot be read")


def _is_hint(said: Any) -> bool:
    """Whether `said` has the members of a hint, each of its type."""
    if (
        not isinstance(said, dict)
        or said.keys() - {f.name for f in fields(Hint)}
        or (said.keys() & NOT_SAID)
    ):
        return False
    corpus, name, split = said.get("corpus"), said.get("name"), said.get("split")
    boxes, times = said.get("boxes", []), said.get("box_times_s", [])
    height = said.get("box_height_px", 1)
    return (
        isinstance(corpus, str)
        and CORPUS.fullmatch(corpus) is not None
        and isinstance(name, str)
        and isinstance(said.get("speaker", ""), str)
        and split in (None, "train", "val", "test")
        and all(_is_number(said[n]) for n in NUMBERS if n in said)
        and said.get("every_s", 1.0) > 0
        and isinstance(boxes, list)
        and isinstance(times, list)
        and all(map(_is_number, [*boxes, *times]))
        and len(boxes) in (4 * len(times), 4 * max(1, len(times)))  # one box is for all times
        and isinstance(height, int)
        and not isinstance(height, bool)
        and height > 0
    )


def _is_number(value: Any) -> bool:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and math.isfinite(value)
