"""Two corpora before they are merged: whether they can be, what stays behind, who is whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from manifests.corpus import Corpus
from manifests.schema import TABLES
from pipeline.build.gone import Gone, begun, gone_of
from pipeline.build.published import Published
from pipeline.build.published import read as read_published
from pipeline.build.work_without import LEDGER
from pipeline.care.dedup import tracks_by_speaker
from pipeline.care.likeness import config_of
from pipeline.config.settings import flat
from pipeline.run.entry import decode
from pipeline.storage import removed as record
from stages.backends.registry import distance_scale
from stages.corpus import people

FREE = ("workers.", "expand.", "download.", "splits.", "shards.")
"""Settings that may differ: who works, what is fetched; parts and shards are A's."""
STAY = frozenset({"requests", "hints", "expanded", "sources"})
"""Tables in which a video that both have keeps the rows of both: where it came from."""


@dataclass
class Merged:
    """What became of two corpora."""

    clips: tuple[int, int] = (0, 0)
    """From A and from B."""
    twice: int = 0
    """Videos that both have: A's clips of them stay."""
    kept_out: int = 0
    """Videos of one that the other had removed."""
    joined: list[tuple[str, str, float]] = field(default_factory=list)
    """Speaker of B, who that is of A, and their distance over the limit."""
    alike: list[tuple[str, str, float]] = field(default_factory=list)
    """The same of persons whom corpora name differently: they stay apart."""
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Clips by the part that they had and the one they have."""
    left_out: int = 0
    """Clips that A's rule has no part for."""
    sentence: str = ""


class MergeError(ValueError):
    """The two cannot be one; the message says why and what would help."""


@dataclass
class Side:
    """One of the two."""

    corpus: Corpus
    published: Published
    gone: Gone = field(default_factory=Gone)
    """What does not come along."""
    skipped: frozenset[str] = frozenset()
    """Videos that the other has: only where they came from comes along."""
    names: dict[str, str] = field(default_factory=dict)
    """Speakers with another name in C."""

    @property
    def root(self) -> Path:
        return self.corpus.root

    @property
    def work(self) -> Path:
        return self.corpus.root / "work"

    def rows(self, table: str) -> Iterator[Any]:
        """Records that come along."""
        for row in self.corpus.rows(table):
            if self.gone.has_row(row):
                continue
            if table not in STAY and row.get("video_id") in self.skipped:
                continue
            if row.get("speaker_id") in self.names:
                row = row | {"speaker_id": self.names[row["speaker_id"]]}
            yield decode(TABLES[table], row)


def side_of(root: Path) -> Side:
    corpus = Corpus(root)
    published = read_published(root / "work")
    if published is None or not (root / "work" / LEDGER).is_dir():
        raise MergeError(
            f"{root} has no finished work beside it (work/published.json, work/ledger): merge the "
            "folder that `yld build` made, not a copy of what it published"
        )
    if begun(root / "work") is not None:
        raise MergeError(f"a removal of {root} was stopped; `yld remove {root}` completes it")
    if not (root / "SHA256SUMS").exists():
        raise MergeError(f"{root} is not sealed: the same `yld build` again finishes it")
    return Side(corpus, published)


def refuse_other_settings(a: Side, b: Side) -> None:
    one, two = (dict(flat(_yaml(side.root))) for side in (a, b))
    other = [
        f"{name}: {one.get(name)} and {two.get(name)}"
        for name in sorted(one.keys() | two.keys())
        if one.get(name) != two.get(name) and not name.startswith(FREE) and "device" not in name
    ]
    kinds = [sorted({r["embedder"] for r in s.corpus.rows("identities")}) for s in (a, b)]
    if all(kinds) and kinds[0] != kinds[1]:
        other.append(f"embeddings of {', '.join(kinds[0])} and of {', '.join(kinds[1])}")
    if other:
        shown = "\n  ".join(other)
        raise MergeError(
            f"{a.root} and {b.root} were not built alike:\n  {shown}\nBuild one of them again with "
            f"the other's settings (`yld build --config {a.root}/config.yaml --out {b.root}`)"
        )


def _yaml(root: Path) -> dict[str, Any]:
    try:
        told = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        raise MergeError(f"{root} has no config.yaml that can be read") from None
    return told if isinstance(told, dict) else {}


def leave_out(a: Side, b: Side, done: Merged) -> None:
    """What either has removed goes from the other; of what both have A's stays."""
    for side, other in ((a, b), (b, a)):
        side.gone = _kept_out(side.corpus, record.read(other.work))
        done.kept_out += len(side.gone.videos)
    have = {r["video_id"]: r["sha256"] for r in a.corpus.rows("sources") if not a.gone.has_row(r)}
    bytes_there = set(have.values())
    again = {
        r["source_id"]
        for r in b.corpus.rows("sources")
        if r["video_id"] not in have and r["sha256"] in bytes_there
    }
    if again:
        b.gone = gone_of(b.corpus, b.gone.requests, b.gone.sources | again, b.gone.videos)
    b.skipped = frozenset(r["video_id"] for r in b.corpus.rows("sources") if r["video_id"] in have)
    done.twice = len(b.skipped) + len(again)


def _kept_out(corpus: Corpus, removed: record.Removed) -> Gone:
    """What of a corpus another one has removed: by address, bytes, name of the speaker, or face."""
    if not removed:
        return Gone()
    found: dict[str, set[str]] = {}
    for table, key in (
        ("requests", "request_id"),
        ("expanded", "source_id"),
        ("sources", "source_id"),
        ("identities", "video_id"),
    ):
        rows = (r for r in corpus.rows(table) if removed.holds(decode(TABLES[table], r)))
        found.setdefault(key, set()).update(r[key] for r in rows)
    samples = corpus.rows("samples")
    names = {n for n in {r["speaker_id"] for r in samples} if removed.has("speaker", n)}
    found["video_id"] |= {r["video_id"] for r in samples if r["speaker_id"] in names}
    return gone_of(corpus, found["request_id"], found["source_id"], found["video_id"])


def join_speakers(a: Side, b: Side, done: Merged) -> None:
    """Unnamed speakers of B get the name of A's nearest within the limit, the nearest first."""
    left, right = tracks_by_speaker(a.corpus), tracks_by_speaker(b.corpus)
    limit = config_of(a.corpus).speakers.distance
    near = []
    for (name, kind), tracks in right.items():
        for (known, other), theirs in left.items():
            if kind == other and known != name:
                distance = people.mean_distance(tracks, theirs) / distance_scale(kind)
                if distance <= limit:
                    near.append((round(distance / limit, 3), name, known))
    for ratio, name, known in sorted(near):
        if name in b.names:
            continue
        if is_named(name):
            done.alike.append((name, known, ratio))
        else:
            b.names[name] = known
            done.joined.append((name, known, ratio))


def is_named(speaker: str) -> bool:
    """Whether a corpus named the speaker; others are called by a hash."""
    return not speaker.startswith("spk-")
