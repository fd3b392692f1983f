"""From finished units to a corpus: speakers, splits, shards, tables, seals; in that order.

What `published.json` names is the corpus. A crash before it is written leaves files that the
next run writes again with the same bytes. If nothing published before has changed, old shards,
speakers and parts stay and new clips are appended; if a setting changed them, all is made anew.
So it is where a corpus that was too small to be divided has grown: its shards are written anew.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manifests import records as rec
from manifests import splits
from manifests.croissant import croissant
from manifests.describe import card, write_checksums
from manifests.files import write_atomic
from manifests.schema import TABLE_OF, TABLES, write_table
from pipeline.config import BuildConfig, as_yaml
from pipeline.ledger import Entry, decode, digest
from pipeline.own_folder import OwnFolder, claim, fixed_names
from pipeline.work_files import WorkFiles
from stages.clip_text import ClipText, text_of
from stages.sharding import Entry as ShardEntry
from stages.sharding import plan_shards, write_shard
from stages.speakers import assign_speakers
from stages.transcripts import transcript_of

EMPTY = {"samples": [], "prints": [], "speakers": [], "splits": None, "left_out": []}
"""What `published.json` holds before anything is published."""


def collect(entries: dict[str, dict[str, Entry]]) -> dict[str, list[Any]]:
    """Table name -> rows of all finished units, sorted by id."""
    tables: dict[str, list[Any]] = {name: [] for name in TABLES}
    for units in entries.values():
        for entry in units.values():
            for result in entry.results:
                for record in result.records or []:
                    if type(record) in TABLE_OF:
                        tables[TABLE_OF[type(record)]].append(record)
                if result.reject:
                    tables["rejects"].append(result.reject)
                if result.failure:
                    tables["failures"].append(result.failure)
    for name, rows in tables.items():
        rows.sort(
            key=lambda r: (
                (r.stage, r.item_id) if name in ("rejects", "failures") else rec.record_id(r)
            )
        )
    return tables


def publish(
    root: Path,
    files: WorkFiles,
    config: BuildConfig,
    entries: dict[str, dict[str, Entry]],
    status: list[dict[str, Any]],
) -> dict[str, Any]:
    """Write the corpus to `root`. Returns what `published.json` holds.

    Raises FileInTheWayError, before anything is changed, for files that yld did not write.
    """
    work, name = files.folder, files.corpus_name or root.name
    tables = collect(entries)
    tables["requests"] = [
        rec.Request(**r) for r in json.loads((work / "requests.json").read_text())
    ]
    before = _read_published(work)
    recipe = digest([config.shards, config.speakers, config.splits])
    texts = _texts(tables, files)
    prints = {c.clip_id: _print(c, texts[c.clip_id], files) for c in tables["clips"]}
    if before and not (
        before["recipe"] == recipe
        and all(
            prints.get(s["clip_id"]) == p
            for s, p in zip(before["samples"], before["prints"], strict=True)
        )
    ):
        before = None  # a setting changed what was published
    identities = {i.track_id: i for i in tables["identities"]}
    policy_now = before and _frozen_again(tables, identities, before, config)
    if policy_now and policy_now["policy"] != "time":
        before = None  # it has grown enough for val and test
    is_anew = before is None
    if is_anew:
        before = EMPTY
    speakers = _speakers(tables, identities, before, config)
    speaker_of = {c.clip_id: speakers[c.track_id].speaker_id for c in tables["clips"]}
    old = [decode(rec.Sample, s) for s in before["samples"]]
    frozen = policy_now or before["splits"] or (
        splits.freeze(config.splits, tables["clips"], speaker_of) if tables["clips"] else None
    )
    new, left_out = _new_entries(tables, old, frozen, speaker_of, texts)
    sentence = (  # this may raise, so it comes before anything is changed
        splits.describe(frozen, [s.split for s in [*old, *new]])
        if frozen
        else ("No clip was made, so there are no parts.")
    )
    video_of = {c.clip_id: c.video_id for c in tables["clips"]}
    tables["rejects"] += [
        rec.Reject("between_splits", stage="shards", item_id=clip, video_id=video_of[clip],
                   detail="lies where two parts of the corpus meet (splits.guard_frames)")
        for clip in left_out]
    own = claim(root, "corpus")
    own.refuse_strays("manifests/*/part-*.parquet", fixed_names())
    again = _damaged(own, old, tables["clips"], texts)
    files.bring(e.clip.payload_path for e in [*new, *(e for es in again.values() for e in es)])
    sizes = {e.clip.clip_id: (work / e.clip.payload_path).stat().st_size for e in new}
    taken = {
        s: 1 + max(int(r.shard[-10:-4]) for r in old if r.split == s)
        for s in {r.split for r in old}
    }
    plan = [*again.items(), *plan_shards(new, sizes, config.shards, taken)]
    own.about_to_write([*(shard for shard, _ in plan), *fixed_names()])
    if is_anew:
        (work / "published.json").unlink(missing_ok=True)
    samples = [s for s in old if s.shard not in again]
    for shard, group in plan:
        samples += write_shard(root, work, shard, group)
    # Shards of an earlier recipe or of a run that died while publishing.
    wanted = {s.shard for s in samples}
    own.remove([n for n in own.files if n.startswith("shards/") and n not in wanted])
    tables["speakers"] = sorted(speakers.values(), key=lambda s: s.track_id)
    tables["samples"] = sorted(samples, key=lambda s: (s.shard, s.index_in_shard))
    for table, kind in TABLES.items():
        write_table(root / "manifests" / table / "part-000000.parquet", kind, tables[table])
    write_atomic(
        root / "manifests" / "status.json", json.dumps({"stages": status}, indent=1) + "\n"
    )
    write_atomic(
        root / "manifests" / "splits.json",
        json.dumps({**(frozen or {}), "reason": sentence, "left_out_clips": left_out}, indent=1)
        + "\n",
    )
    write_atomic(root / "config.yaml", as_yaml(config))
    write_atomic(root / "dataset.json",
                 croissant(root, name, samples, tables["sources"], sentence))
    write_atomic(root / "README.md", card(name, samples, tables["sources"], sentence))
    write_checksums(root / "manifests", [
        *(f"{table}/part-000000.parquet" for table in TABLES), "status.json", "splits.json"])
    write_checksums(root, [*sorted({s.shard for s in samples}), "dataset.json"])
    done = {
        "recipe": recipe,
        "samples": [dataclasses.asdict(s) for s in samples],
        "prints": [prints[s.clip_id] for s in samples],
        "speakers": [dataclasses.asdict(s) for s in tables["speakers"]],
        "splits": frozen,
        "left_out": left_out,
    }
    own.wrote([*(shard for shard, _ in plan), *fixed_names()])
    write_atomic(work / "published.json", json.dumps(done))
    return done


def _damaged(own: OwnFolder, old: Sequence[rec.Sample], clips, texts
             ) -> dict[str, list[ShardEntry]]:
    """Old shards that are gone or no longer what was written, with what they are made of: a seal
    over them would bless the damage."""
    clip_of = {c.clip_id: c for c in clips}
    found: dict[str, list[ShardEntry]] = {}
    for shard in dict.fromkeys(s.shard for s in old if not own.is_whole(s.shard)):
        rows = sorted((s for s in old if s.shard == shard), key=lambda s: s.index_in_shard)
        found[shard] = [ShardEntry(clip_of[s.clip_id], s.speaker_id, s.split, texts[s.clip_id])
                        for s in rows]
        print(f"yld: {own.root / shard} is gone or damaged; it is written again", file=sys.stderr)
    return found


def _frozen_again(tables, identities, before, config) -> dict | None:
    """The policy of a corpus that was too small for val and test as it is now; None of others.

    Speakers are counted as a corpus made at once would count them: a run that dies while it
    publishes goes on from nothing published, and must come to the same bytes.
    """
    if not before["splits"] or not splits.is_open(
            before["splits"], [s["split"] for s in before["samples"]]):
        return None
    speakers = _speakers(tables, identities, EMPTY, config)
    speaker_of = {c.clip_id: speakers[c.track_id].speaker_id for c in tables["clips"]}
    return splits.freeze(config.splits, tables["clips"], speaker_of)


def _speakers(tables, identities, before, config) -> dict[str, rec.Speaker]:
    known = [decode(rec.Speaker, s) for s in before["speakers"]]
    known = [s for s in known if s.track_id in identities]
    fresh = [i for i in tables["identities"] if i.track_id not in {s.track_id for s in known}]
    made = assign_speakers(fresh, config.speakers, [(s, identities[s.track_id]) for s in known])
    return {s.track_id: s for s in [*known, *made]}


def _new_entries(tables, old: Sequence[rec.Sample], frozen, speaker_of, texts):
    videos = {v.video_id: v for v in tables["videos"]}
    have, new, left_out = {s.clip_id for s in old}, [], []
    for clip in tables["clips"]:
        if clip.clip_id in have:
            continue
        part = splits.assign(frozen, clip, speaker_of[clip.clip_id], videos[clip.video_id])
        if part is None:
            left_out.append(clip.clip_id)
        else:
            new.append(ShardEntry(clip, speaker_of[clip.clip_id], part, texts[clip.clip_id]))
    return new, left_out


def _texts(tables, files: WorkFiles) -> dict[str, ClipText]:
    """The text of every clip by id; rows of `sources` and `clips` are told of it in place.

    Here and not in a stage, so that a changed transcript makes no video anew, and that the same
    bytes found in two places, with a transcript in one of them, give the same text whichever
    was there first.
    """
    by_video: dict[str, list[rec.Fetched]] = defaultdict(list)
    for source in tables["sources"]:
        by_video[source.video_id].append(source)
    videos = {v.video_id: v for v in tables["videos"]}
    found, of_source = {}, {}
    for video_id in sorted({c.video_id for c in tables["clips"]}):
        sources = by_video[video_id]
        files.bring(path for s in sources for path in s.caption_paths)
        found[video_id], by_source = transcript_of(sources, videos[video_id], files.folder)
        of_source |= by_source
    for index, source in enumerate(tables["sources"]):
        if (has := of_source.get(source.source_id)) is not None:
            tables["sources"][index] = dataclasses.replace(
                source, transcript_path=has.path, transcript_sha256=has.sha256,
                transcript_reason=has.reason)
    texts = {}
    for index, clip in enumerate(tables["clips"]):
        text = text_of(clip, videos[clip.video_id], found[clip.video_id])
        texts[clip.clip_id] = text
        tables["clips"][index] = dataclasses.replace(
            clip, text=text.text, text_source=text.text_source, text_reason=text.text_reason)
    return texts


def _print(clip: rec.Clip, text: ClipText, files: WorkFiles) -> str:
    """What makes a published clip the same: its members' bytes stand behind this name."""
    return f"{clip.payload_path}:{files.size(clip.payload_path)}:{digest(text)[:20]}"


def _read_published(work: Path) -> dict[str, Any] | None:
    path = work / "published.json"
    return json.loads(path.read_text()) if path.exists() else None
