"""What will be published: speakers, splits and shards, from finished units alone.

Nothing here reads or writes a file. If nothing published before has changed, old shards, speakers
and parts stay and new clips are appended; if a setting changed them, all is made anew. So it is
where a corpus that was too small to be divided has grown: its shards are written anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from manifests import records as rec
from manifests import splits
from manifests.columns import Columns, Made, SharedTexts, sorted_index, values_of
from pipeline.build.published import SHARED, Published
from pipeline.build.said import Said
from pipeline.build.texts import ClipTexts
from pipeline.config.build_config import BuildConfig
from pipeline.corpus.marks import Mark
from pipeline.run.entry import digest
from stages.corpus.sharding import Entry as ShardEntry
from stages.corpus.sharding import plan_shards
from stages.corpus.speakers import assign_speakers, named_speakers

LEFT_OUT = {
    "guard": (
        "between_splits",
        "lies where two parts of the corpus meet (splits.guard_frames)",
    ),
    "list": ("not_listed", "no line of the list names its video (splits.policy)"),
    "official": ("not_listed", "its corpus gives it no part (splits.policy)"),
}
"""Why a clip is in no part: reason and detail."""
MARKED = "marked"
"""Why a clip that a person marked is not published."""


@dataclass(frozen=True)
class Found:
    """What publishing starts from, sorted by id."""

    clips: Columns[rec.Clip]
    """Without their texts."""
    sources: list[rec.Fetched]
    videos: dict[str, rec.Video]
    identities: list[rec.Identity]
    texts: ClipTexts
    """What is said in each clip, in their order."""
    sizes: Sequence[int]
    """Bytes of each clip's side file, in their order."""
    before: Published | None
    """What was published; None where nothing was."""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """Clips that a person marked, by id: they are not published."""
    fallen: Mapping[str, rec.Reject] = field(default_factory=dict)
    """Clips that do not keep to a threshold, by id: neither are they."""
    said: Said = field(default_factory=Said)
    """What corpora say of speakers and parts."""
    hints: list[rec.Hint] = field(default_factory=list)
    """All of what they say."""

    def is_out(self, clip_id: str) -> bool:
        """Whether a clip is left out whatever part it would be in."""
        return clip_id in self.marks or clip_id in self.fallen

    def place_of(self, clip_id: str) -> int | None:
        """Where a clip stands among `clips`."""
        return sorted_index(self.clips.column("clip_id"), clip_id)

    def print_of(self, clip_id: str) -> str | None:
        """What makes a published clip the same: its members' bytes stand behind this name. None
        for a clip that there is no more."""
        place = self.place_of(clip_id)
        if place is None:
            return None
        clip, said = self.clips[place], self.texts.print_of(place)
        return f"{clip.payload_path}:{self.sizes[place]}:{said}{self.said.print_of(clip)}"


@dataclass(frozen=True)
class Publication:
    """What the corpus will hold."""

    recipe: str
    print_of: Callable[[str], str | None]
    """Of a clip, by id."""
    is_anew: bool
    """Nothing that was published stays."""
    kept: Sequence[rec.Sample]
    shards: list[tuple[str, Sequence[ShardEntry]]]
    """Shards to write, by path relative to the corpus."""
    thinned: list[str]
    """Old shards with clips that were marked, or fell below a threshold, since: they are written
    again without them."""
    speakers: list[rec.Speaker]
    frozen: dict[str, Any] | None
    """The policy that divides the corpus; None without clips."""
    sentence: str
    """How the corpus is divided, and why so."""
    left_out: list[str]
    """Clips that lie where two parts meet, or that a list does not name."""
    marked: list[str]
    """Clips that a person marked."""
    fallen: list[str]
    """Clips that do not keep to a threshold."""
    rejects: list[rec.Reject]

    def as_published(
        self, samples: Sequence[rec.Sample], tables: dict[str, Any] | None = None
    ) -> Published:
        """What a later run needs, once `samples` and `tables` are written."""
        return Published(
            self.recipe,
            samples,
            Made(len(samples), lambda i: self.print_of(samples[i].clip_id) or ""),
            self.speakers,
            self.frozen,
            self.left_out,
            tables or {},
            self.marked,
            self.fallen,
        )


def plan(found: Found, config: BuildConfig) -> Publication:
    """What to publish. Raises `splits.EmptySplitError` for parts that cannot be filled."""
    rules = splits.rules_of(config.splits)  # a list that was edited is another recipe
    recipe = digest([config.shards, config.speakers, config.splits, *([rules] if rules else [])])
    before = found.before if _is_the_same(found, recipe) else None
    policy_now = before and _frozen_again(found, before, config)
    if policy_now and policy_now["policy"] != "time":
        before = None  # it has grown enough for val and test
    is_anew = before is None
    before = before or Published(recipe)
    speakers = _speakers(found, before, config)
    was = before.samples
    old = was
    if found.marks or found.fallen:
        old = Columns(rec.Sample, SHARED, (s for s in was if not found.is_out(s.clip_id)))
    frozen = (
        policy_now
        or before.splits
        or (
            splits.freeze(config.splits, found.clips, _whose(found, speakers), found.said.parts)
            if found.clips
            else None
        )
    )
    marked = [c for c in values_of(found.clips, "clip_id") if c in found.marks]
    fallen = sorted(found.fallen.keys() - found.marks.keys())
    known = set(values_of(old, "clip_id")).union(marked, fallen)
    new, parts, sizes, left_out = _new_entries(found, known, frozen, speakers)
    sentence = (
        splits.describe(frozen, [*values_of(old, "split"), *parts])
        if frozen
        else ("No clip was made, so there are no parts.")
    )
    reason = LEFT_OUT.get(frozen["policy"] if frozen else "", LEFT_OUT["guard"])
    why = dict.fromkeys(left_out, reason)
    why |= {clip: (MARKED, found.marks[clip].in_words()) for clip in marked}
    video_of = {
        clip: video
        for clip, video in zip(
            *(values_of(found.clips, n) for n in ("clip_id", "video_id")), strict=True
        )
        if clip in why
    }
    rejects = [
        rec.Reject(reason, stage="shards", item_id=clip, video_id=video_of[clip], detail=detail)
        for clip, (reason, detail) in why.items()
    ]
    rejects += [replace(found.fallen[clip], stage="shards") for clip in fallen]
    rejects.sort(key=lambda r: r.item_id)
    taken: dict[str, int] = {}
    for split, shard in set(zip(values_of(was, "split"), values_of(was, "shard"), strict=True)):
        taken[split] = max(taken.get(split, 0), 1 + int(shard[-10:-4]))
    return Publication(
        recipe,
        found.print_of,
        is_anew,
        old,
        plan_shards(new, sizes, config.shards, taken),
        _thinned(old, was, found),
        sorted(speakers.values(), key=lambda s: s.track_id),
        frozen,
        sentence,
        left_out,
        marked,
        fallen,
        rejects,
    )


def entries_of(
    shards: Sequence[str], publication: Publication, found: Found
) -> dict[str, list[ShardEntry]]:
    """What published shards are made of, so that they can be written again."""
    wanted = {shard: list[rec.Sample]() for shard in shards}
    for sample in publication.kept if wanted else ():
        if sample.shard in wanted:
            wanted[sample.shard].append(sample)

    def entry(sample: rec.Sample) -> ShardEntry:
        place = found.place_of(sample.clip_id)
        if place is None:
            raise KeyError(sample.clip_id)
        return ShardEntry(found.clips[place], sample.speaker_id, sample.split, found.texts[place])

    return {
        shard: [entry(s) for s in sorted(rows, key=lambda s: s.index_in_shard)]
        for shard, rows in wanted.items()
    }


def _is_the_same(found: Found, recipe: str) -> bool:
    """Whether no setting changed what was published."""
    before = found.before
    return (
        before is not None
        and before.recipe == recipe
        and all(
            found.print_of(clip) == told
            for clip, told in zip(values_of(before.samples, "clip_id"), before.prints, strict=True)
        )
    )


def _thinned(old: Sequence[rec.Sample], was: Sequence[rec.Sample], found: Found) -> list[str]:
    if not found.marks and not found.fallen:
        return []
    return sorted({s.shard for s in old} & {s.shard for s in was if found.is_out(s.clip_id)})


def _whose(found: Found, speakers: Mapping[str, rec.Speaker]) -> set[str]:
    """All speakers of whom there are clips."""
    return {speakers[track].speaker_id for track in set(values_of(found.clips, "track_id"))}


def _frozen_again(found: Found, before: Published, config: BuildConfig) -> dict | None:
    """The policy of a corpus that was too small for val and test as it is now; None of others.

    Speakers are counted as a corpus made at once would count them: a run that dies while it
    publishes goes on from nothing published, and must come to the same bytes.
    """
    if not before.splits or not splits.is_open(
        before.splits, [*values_of(before.samples, "split")]
    ):
        return None
    speakers = _speakers(found, Published(""), config)
    return splits.freeze(config.splits, found.clips, _whose(found, speakers), found.said.parts)


def _speakers(found: Found, before: Published, config: BuildConfig) -> dict[str, rec.Speaker]:
    """Those that corpora name, by their names; of the others, those that look alike."""
    named = named_speakers(found.identities, found.said.speakers)
    taken = {s.track_id for s in named}
    identities = {i.track_id: i for i in found.identities}
    known = [s for s in before.speakers if s.track_id in identities and s.track_id not in taken]
    taken |= {s.track_id for s in known}
    fresh = [i for i in found.identities if i.track_id not in taken]
    made = assign_speakers(fresh, config.speakers, [(s, identities[s.track_id]) for s in known])
    return {s.track_id: s for s in [*known, *made, *named]}


def _new_entries(
    found: Found,
    known: Collection[str],
    frozen: Any,
    speakers: Mapping[str, rec.Speaker],
) -> tuple[Sequence[ShardEntry], Sequence[str], Sequence[int], list[str]]:
    """Clips that are not `known`, where they belong, with their parts and sizes; and ids of those
    that belong nowhere."""
    places, sizes, parts, left_out = array("q"), array("q"), SharedTexts(), list[str]()
    for place, clip in enumerate(found.clips):
        if clip.clip_id in known:
            continue
        speaker = speakers[clip.track_id].speaker_id
        part = splits.assign(
            frozen,
            clip,
            speaker,
            found.videos[clip.video_id],
            found.said.parts.get(clip.clip_id),
            found.said.names.get(clip.video_id, ()),
        )
        if part is None:
            left_out.append(clip.clip_id)
        else:
            places.append(place)
            sizes.append(found.sizes[place])
            parts.append(part)

    def made(number: int) -> ShardEntry:
        clip, text = found.clips[places[number]], found.texts[places[number]]
        return ShardEntry(clip, speakers[clip.track_id].speaker_id, parts[number], text)

    return Made(len(places), made), parts, sizes, left_out
