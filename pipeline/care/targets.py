"""From what is asked for to what goes: videos, speakers, sources and faces of a corpus."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from manifests.corpus import Corpus
from manifests.paths import as_text
from pipeline.build.gone import Gone, gone_of
from pipeline.care.likeness import Match, of_photo
from pipeline.storage.address import local_path
from pipeline.storage.removed import Face


class TargetError(ValueError):
    """Nothing in the corpus is what was asked for; the message says what would be."""


@dataclass
class Wanted:
    """What the command line names."""

    videos: Sequence[str] = ()
    speakers: Sequence[str] = ()
    sources: Sequence[str] = ()
    photos: Sequence[str] = ()
    distance: float | None = None
    """How far a face may be from a photo, in dlib_resnet's unit; None: as the corpus was built."""
    remember_face: bool = False

    def __bool__(self) -> bool:
        return bool(self.videos or self.speakers or self.sources or self.photos)

    @property
    def asked(self) -> frozenset[str]:
        """All that is named, each with what it is."""
        kinds = ("videos", "speakers", "sources", "photos")
        return frozenset(f"{kind} {name}" for kind in kinds for name in getattr(self, kind))

    def but(self, gone: Gone) -> Wanted:
        """The same without what a removal took out that was asked for so, or by another name."""

        def left(kind: str, known: frozenset[str]) -> list[str]:
            names = getattr(self, kind)
            return [n for n in names if n not in known and f"{kind} {n}" not in gone.asked]

        return replace(
            self,
            videos=left("videos", gone.videos),
            speakers=left("speakers", frozenset()),
            sources=left("sources", gone.addresses | gone.sources),
            photos=left("photos", frozenset()),
        )


@dataclass
class Chosen:
    """What goes, and what a person should see before it does."""

    gone: Gone
    speakers: frozenset[str] = frozenset()
    """Who goes."""
    faces: tuple[Face, ...] = ()
    """To be remembered."""
    matches: list[Match] = field(default_factory=list)
    """Tracks that are like a photo, or nearly."""
    others: dict[str, int] = field(default_factory=dict)
    """Clips of other speakers in the same videos, by speaker."""
    alike: list[tuple[str, str, float]] = field(default_factory=list)
    """Speakers that stay, who of those that go is nearest, and the distance in dlib_resnet's unit:
    no farther than a photo may be."""


def choose(corpus: Corpus, wanted: Wanted) -> Chosen:
    """Raises TargetError for what the corpus has not, PhotoError, SetupError."""
    requests, sources = _addresses(corpus, wanted.sources)
    videos = _videos(corpus, wanted.videos)
    speakers = _speakers(corpus, wanted.speakers)
    matches = [m for photo in wanted.photos for m in of_photo(corpus, photo, wanted.distance)]
    speakers |= {m.speaker_id for m in matches if m.is_same and m.speaker_id is not None}
    tracks = {m.track_id for m in matches if m.is_same}
    tracks |= {r["track_id"] for r in corpus.rows("speakers") if r["speaker_id"] in speakers}
    videos |= {r["video_id"] for r in corpus.rows("identities") if r["track_id"] in tracks}
    videos |= {r["video_id"] for r in corpus.rows("samples") if r["speaker_id"] in speakers}
    gone = gone_of(corpus, requests, sources, videos)
    others = Counter(
        r["speaker_id"]
        for r in corpus.rows("samples")
        if gone.has_row(r) and speakers and r["speaker_id"] not in speakers
    )
    identities = [r for r in corpus.rows("identities") if r["track_id"] in tracks]
    faces = _faces(corpus, identities, wanted) if wanted.remember_face else ()
    alike = _alike(corpus, gone, identities, speakers)
    return Chosen(gone, frozenset(speakers), faces, matches, dict(others), alike)


def _addresses(corpus: Corpus, given: Sequence[str]) -> tuple[set[str], set[str]]:
    requests: set[str] = set()
    sources: set[str] = set()
    for address in given:
        same = (
            {address, as_text(local_path(address).absolute())}
            if "://" not in address
            else {address}
        )
        found = {r["request_id"] for r in corpus.rows("requests") if r["address"] in same}
        of = {
            r["source_id"]
            for table in ("expanded", "sources")
            for r in corpus.rows(table)
            if r["address"] in same or address in (r["source_id"], r["site_id"])
        }
        if not found and not of:
            raise TargetError(
                f"{corpus.root} has no source {address}; the table `requests` lists what was asked "
                "for, `yld status -v --why` what became of it"
            )
        requests |= found
        sources |= of
    return requests, sources


def _videos(corpus: Corpus, given: Sequence[str]) -> set[str]:
    have = {r["video_id"] for r in corpus.rows("sources")}
    for video in given:
        if video not in have:
            near = sorted(v for v in have if video in v)[:3]
            more = f" (there are {', '.join(near)})" if near else ""
            raise TargetError(
                f"{corpus.root} has no video {video}{more}; ids stand in the table `sources`, in "
                "report.html and in the `json` of each sample"
            )
    return set(given)


def _speakers(corpus: Corpus, given: Sequence[str]) -> set[str]:
    have = {r["speaker_id"] for r in corpus.rows("speakers")}
    for speaker in given:
        if speaker not in have:
            raise TargetError(
                f"{corpus.root} has no speaker {speaker}; there are {len(have)}: "
                f"{', '.join(sorted(have)[:5])}{', ...' if len(have) > 5 else ''}"
            )
    return set(given)


def _faces(corpus: Corpus, identities: list[dict[str, Any]], wanted: Wanted) -> tuple[Face, ...]:
    """A mean embedding for each embedder: the corpus's own distance between tracks counts."""
    from pipeline.care.likeness import photo_limit

    by: dict[str, list[list[float]]] = defaultdict(list)
    for row in identities:
        by[row["embedder"]].append(row["embedding"])
    return tuple(
        Face(
            embedder,
            [round(float(v), 6) for v in np.array(rows).mean(0)],
            photo_limit(corpus, embedder, wanted.distance),
        )
        for embedder, rows in sorted(by.items())
    )


def _alike(
    corpus: Corpus, gone: Gone, identities: list[dict[str, Any]], speakers: set[str]
) -> list[tuple[str, str, float]]:
    """Speakers that stay and look like one that goes: perhaps one person under two names."""
    from pipeline.care.likeness import means_of, photo_limit
    from stages.backends.registry import distance_scale

    if not identities:
        return []
    going = means_of(corpus, lambda row: row["track_id"] in {i["track_id"] for i in identities})
    staying = means_of(corpus, lambda row: not gone.has_row(row))
    found = []
    for (name, embedder), mean in staying.items():
        near = [
            (float(np.linalg.norm(mean - other)) / distance_scale(embedder), who)
            for (who, theirs), other in going.items()
            if theirs == embedder
        ]
        limit = photo_limit(corpus, embedder, None) / distance_scale(embedder)
        if near and min(near)[0] <= limit and name not in speakers:
            found.append((name, min(near)[1], round(min(near)[0], 3)))
    return sorted(found, key=lambda row: row[2])
