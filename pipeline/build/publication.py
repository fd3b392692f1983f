"""What will be published: speakers, splits and shards, from finished units alone.

Nothing here reads or writes a file. If nothing published before has changed, old shards, speakers
and parts stay and new clips are appended; if a setting changed them, all is made anew. So it is
where a corpus that was too small to be divided has grown: its shards are written anew.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from manifests import records as rec
from manifests import splits
from manifests.schema import TABLE_OF, TABLES
from pipeline.build.said import Said
from pipeline.config.build_config import BuildConfig
from pipeline.run.ledger import Entry, decode, digest
from stages.corpus.sharding import Entry as ShardEntry
from stages.corpus.sharding import plan_shards
from stages.corpus.speakers import assign_speakers, named_speakers
from stages.text.clip_text import ClipText

Tables: TypeAlias = dict[str, list[Any]]
"""Table name -> its records, sorted by id."""

LEFT_OUT = {
    "guard": (
        "between_splits",
        "lies where two parts of the corpus meet (splits.guard_frames)",
    ),
    "list": ("not_listed", "no line of the list names its video (splits.policy)"),
    "official": ("not_listed", "its corpus gives it no part (splits.policy)"),
}
"""Why a clip is in no part: reason and detail."""

EMPTY: dict[str, Any] = {
    "samples": [],
    "prints": [],
    "speakers": [],
    "splits": None,
    "left_out": [],
}
"""What `published.json` holds before anything is published."""


@dataclass(frozen=True)
class Found:
    """What publishing starts from."""

    tables: Tables
    texts: dict[str, ClipText]
    """What is said in each clip, by id."""
    sizes: dict[str, int]
    """Bytes of each clip's side file, by id."""
    before: dict[str, Any] | None
    """What `published.json` holds; None where nothing was published."""
    said: Said = dataclasses.field(default_factory=Said)
    """What corpora say of speakers and parts."""

    def prints(self) -> dict[str, str]:
        """What makes a published clip the same: its members' bytes stand behind this name."""
        return {
            c.clip_id: f"{c.payload_path}:{self.sizes[c.clip_id]}:"
            f"{digest(self.texts[c.clip_id])[:20]}{self.said.print_of(c)}"
            for c in self.tables["clips"]
        }


@dataclass(frozen=True)
class Publication:
    """What the corpus will hold."""

    recipe: str
    prints: dict[str, str]
    is_anew: bool
    """Nothing that was published stays."""
    kept: list[rec.Sample]
    shards: list[tuple[str, list[ShardEntry]]]
    """Shards to write, by path relative to the corpus."""
    speakers: list[rec.Speaker]
    frozen: dict[str, Any] | None
    """The policy that divides the corpus; None without clips."""
    sentence: str
    """How the corpus is divided, and why so."""
    left_out: list[str]
    """Clips that lie where two parts meet, or that a list does not name."""
    rejects: list[rec.Reject]

    def as_published(self, samples: Sequence[rec.Sample]) -> dict[str, Any]:
        """`published.json`, once `samples` are written."""
        return {
            "recipe": self.recipe,
            "samples": [dataclasses.asdict(s) for s in samples],
            "prints": [self.prints[s.clip_id] for s in samples],
            "speakers": [dataclasses.asdict(s) for s in self.speakers],
            "splits": self.frozen,
            "left_out": self.left_out,
        }


def collect(entries: dict[str, dict[str, Entry]]) -> dict[str, list[Any]]:
    """Table name -> rows of all finished units, sorted by id. Where two stages put out records of
    one kind, the later one's stand for those of the same id."""
    tables: dict[str, list[Any]] = {name: [] for name in TABLES}
    for units in entries.values():
        made: dict[str, list[Any]] = defaultdict(list)
        for result in (result for entry in units.values() for result in entry.results):
            for record in result.records or []:
                if type(record) in TABLE_OF:
                    made[TABLE_OF[type(record)]].append(record)
            if result.reject:
                tables["rejects"].append(result.reject)
            if result.failure:
                tables["failures"].append(result.failure)
        for name, rows in made.items():
            later = {rec.record_id(row) for row in rows}
            tables[name] = [r for r in tables[name] if rec.record_id(r) not in later] + rows
    for name, rows in tables.items():
        rows.sort(
            key=lambda r: (
                (r.stage, r.item_id) if name in ("rejects", "failures") else rec.record_id(r)
            )
        )
    return tables


def plan(found: Found, config: BuildConfig) -> Publication:
    """What to publish. Raises `splits.EmptySplitError` for parts that cannot be filled."""
    tables, prints = found.tables, found.prints()
    rules = splits.rules_of(config.splits)  # a list that was edited is another recipe
    recipe = digest([config.shards, config.speakers, config.splits, *([rules] if rules else [])])
    identities = {i.track_id: i for i in tables["identities"]}
    before = found.before if _is_the_same(found.before, recipe, prints) else None
    policy_now = before and _frozen_again(found, identities, before, config)
    if policy_now and policy_now["policy"] != "time":
        before = None  # it has grown enough for val and test
    is_anew = before is None
    before = before or EMPTY
    speakers = _speakers(found, identities, before, config)
    speaker_of = {c.clip_id: speakers[c.track_id].speaker_id for c in tables["clips"]}
    old = [decode(rec.Sample, s) for s in before["samples"]]
    frozen = (
        policy_now
        or before["splits"]
        or (
            splits.freeze(config.splits, tables["clips"], speaker_of, found.said.parts)
            if tables["clips"]
            else None
        )
    )
    new, left_out = _new_entries(found, old, frozen, speaker_of)
    sentence = (
        splits.describe(frozen, [s.split for s in [*old, *new]])
        if frozen
        else ("No clip was made, so there are no parts.")
    )
    video_of = {c.clip_id: c.video_id for c in tables["clips"]}
    reason, detail = LEFT_OUT.get(frozen["policy"] if frozen else "", LEFT_OUT["guard"])
    rejects = [
        rec.Reject(reason, stage="shards", item_id=clip, video_id=video_of[clip], detail=detail)
        for clip in left_out
    ]
    taken = {
        s: 1 + max(int(r.shard[-10:-4]) for r in old if r.split == s)
        for s in {r.split for r in old}
    }
    return Publication(
        recipe,
        prints,
        is_anew,
        old,
        plan_shards(new, found.sizes, config.shards, taken),
        sorted(speakers.values(), key=lambda s: s.track_id),
        frozen,
        sentence,
        left_out,
        rejects,
    )


def entries_of(shard: str, publication: Publication, found: Found) -> list[ShardEntry]:
    """What a published shard is made of, so that it can be written again."""
    clip_of = {c.clip_id: c for c in found.tables["clips"]}
    rows = sorted((s for s in publication.kept if s.shard == shard), key=lambda s: s.index_in_shard)
    return [
        ShardEntry(clip_of[s.clip_id], s.speaker_id, s.split, found.texts[s.clip_id]) for s in rows
    ]


def _is_the_same(before: dict[str, Any] | None, recipe: str, prints: dict[str, str]) -> bool:
    """Whether no setting changed what was published."""
    return (
        before is not None
        and before["recipe"] == recipe
        and all(
            prints.get(s["clip_id"]) == p
            for s, p in zip(before["samples"], before["prints"], strict=True)
        )
    )


def _frozen_again(found: Found, identities, before, config) -> dict | None:
    """The policy of a corpus that was too small for val and test as it is now; None of others.

    Speakers are counted as a corpus made at once would count them: a run that dies while it
    publishes goes on from nothing published, and must come to the same bytes.
    """
    if not before["splits"] or not splits.is_open(
        before["splits"], [s["split"] for s in before["samples"]]
    ):
        return None
    clips = found.tables["clips"]
    speakers = _speakers(found, identities, EMPTY, config)
    speaker_of = {c.clip_id: speakers[c.track_id].speaker_id for c in clips}
    return splits.freeze(config.splits, clips, speaker_of, found.said.parts)


def _speakers(found: Found, identities, before, config) -> dict[str, rec.Speaker]:
    """Those that corpora name, by their names; of the others, those that look alike."""
    named = named_speakers(found.tables["identities"], found.said.speakers)
    taken = {s.track_id for s in named}
    known = [decode(rec.Speaker, s) for s in before["speakers"]]
    known = [s for s in known if s.track_id in identities and s.track_id not in taken]
    taken |= {s.track_id for s in known}
    fresh = [i for i in found.tables["identities"] if i.track_id not in taken]
    made = assign_speakers(fresh, config.speakers, [(s, identities[s.track_id]) for s in known])
    return {s.track_id: s for s in [*known, *made, *named]}


def _new_entries(found: Found, old: Sequence[rec.Sample], frozen, speaker_of):
    tables, texts, said = found.tables, found.texts, found.said
    videos = {v.video_id: v for v in tables["videos"]}
    have, new, left_out = {s.clip_id for s in old}, [], []
    for clip in tables["clips"]:
        if clip.clip_id in have:
            continue
        part = splits.assign(
            frozen,
            clip,
            speaker_of[clip.clip_id],
            videos[clip.video_id],
            said.parts.get(clip.clip_id),
            said.names.get(clip.video_id, ()),
        )
        if part is None:
            left_out.append(clip.clip_id)
        else:
            new.append(ShardEntry(clip, speaker_of[clip.clip_id], part, texts[clip.clip_id]))
    return new, left_out
