"""All that belongs to videos that are taken out of a corpus, by id, and where it stands in rows.

While a removal is at work it is kept in `work/removing.json`, in clear: what was stopped is
completed from there by the next `yld remove` or `yld build`, and the file goes last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from manifests.corpus import Corpus
from manifests.files import write_atomic
from manifests.plain_words import read_json
from pipeline.storage.removing import JOURNAL

ID_COLUMNS = (
    "request_id",
    "source_id",
    "video_id",
    "shot_id",
    "track_id",
    "clip_id",
    "hint_id",
    "item_id",
)
STEM = re.compile(r"(.+?)-s\d{3,}(-t\d{3,}(-c\d{3,})?)?")
SIDE_KEY = re.compile(r"-[0-9a-f]{16}$")


@dataclass(frozen=True)
class Gone:
    """What goes. `addresses` and `names` are what people would look for."""

    requests: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    videos: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    """Shots, tracks, clips and hints of these."""
    addresses: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()
    """SHA-256 of media."""
    names: frozenset[str] = frozenset()
    """Titles, ids at the site and names of files that nothing else in the corpus has."""
    clips: int = 0
    """Published ones."""
    files: frozenset[str] = frozenset()
    """Side files that the ledger names, below `work`."""
    asked: frozenset[str] = frozenset()
    """What the command line named: the same command may come again once it was stopped."""
    status: list[dict[str, Any]] = field(default_factory=list)
    """What the funnel tells afterwards."""

    def __bool__(self) -> bool:
        return bool(self.requests or self.sources or self.videos)

    @cached_property
    def ids(self) -> frozenset[str]:
        """Of all kinds."""
        return self.requests | self.sources | self.videos | self.parts

    def has(self, identifier: object) -> bool:
        """Whether this id goes, by itself or since its video does."""
        if not isinstance(identifier, str):
            return False
        stem = STEM.fullmatch(identifier)
        return identifier in self.ids or (stem is not None and stem[1] in self.videos)

    def has_row(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of a table, or a record as a mapping, is about something that goes."""
        return any(self.has(row.get(name)) for name in ID_COLUMNS)

    def has_file(self, name: str) -> bool:
        """Whether a side file belongs to it: `{id}-{16 hexadecimal digits}.npz`, `{id}.json`."""
        stem = name.lstrip(".").split(".")[0]
        return self.has(stem) or self.has(SIDE_KEY.sub("", stem))

    def has_text(self, text: str) -> bool:
        """Whether an address, or an id, stands in a text."""
        return self._needles is not None and self._needles.search(text) is not None

    @cached_property
    def _needles(self) -> re.Pattern[str] | None:
        places = [f"{re.escape(a)}(?![\\w%&=/-])" for a in sorted(self.addresses)]
        named = sorted({*self.requests, *self.sources, *self.videos})
        wanted = [*places, *(f"{re.escape(n)}(?![A-Za-z0-9_])" for n in named)]
        return re.compile("|".join(wanted)) if wanted else None

    def keep(self, work: Path) -> None:
        """Write the journal."""
        told = {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in vars(self).items()
            if name in self.__dataclass_fields__
        }
        write_atomic(work / JOURNAL, json.dumps(told))


def begun(work: Path) -> Gone | None:
    """What a removal that was stopped had begun to take out; None where none was."""
    if not (work / JOURNAL).exists():
        return None
    told = read_json(work / JOURNAL)
    fields: dict[str, Any] = {
        name: frozenset(v) if isinstance(v, list) and name != "status" else v
        for name, v in told.items()
    }
    return Gone(**fields)


def gone_of(
    corpus: Corpus, requests: Iterable[str], sources: Iterable[str], videos: Iterable[str]
) -> Gone:
    """Everything that goes with these requests, sources and videos: the videos' other sources, and
    requests of which nothing would be left."""
    rows = corpus.rows
    gone_videos, gone_requests = set(videos), set(requests)
    gone_sources = set(sources) | {
        r["source_id"] for r in rows("expanded") if r["request_id"] in gone_requests
    }
    gone_videos |= {r["video_id"] for r in rows("sources") if r["source_id"] in gone_sources}
    gone_sources |= {r["source_id"] for r in rows("sources") if r["video_id"] in gone_videos}
    of_request: dict[str, set[str]] = {}
    for row in rows("expanded"):
        of_request.setdefault(row["request_id"], set()).add(row["source_id"])
    gone_requests |= {r for r, found in of_request.items() if found <= gone_sources}
    first = Gone(frozenset(gone_requests), frozenset(gone_sources), frozenset(gone_videos))
    parts = {
        row[key]
        for table, key in (
            ("hints", "hint_id"),
            ("shots", "shot_id"),
            ("tracks", "track_id"),
            ("identities", "track_id"),
            ("clips", "clip_id"),
            ("samples", "clip_id"),
        )
        for row in rows(table)
        if first.has_row(row)
    }
    places = [r for t in ("requests", "expanded", "sources") for r in rows(t)]
    mine = [r for r in places if first.has_row(r)]
    others = _words(r for r in places if not first.has_row(r))
    return Gone(
        first.requests,
        first.sources,
        first.videos,
        frozenset(parts),
        frozenset(r["address"] for r in mine),
        frozenset(r["sha256"] for r in rows("sources") if first.has_row(r)),
        frozenset(_words(mine) - others),
        sum(first.has_row(r) for r in rows("samples")),
    )


def _words(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Addresses, titles, ids at the site, files' names and endings of paths; short words say
    nothing."""
    found: set[str] = set()
    for row in rows:
        found.update(row.get(n) or "" for n in ("address", "title", "site_id", "uploader_id"))
        found.add(row["address"].replace("\\", "/").rpartition("/")[2])
    return {word for word in found if len(word) > 4}
