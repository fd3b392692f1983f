"""From finished units to a corpus: read, plan (`pipeline.build.publication`), write; in that order.

What `published.json` names is the corpus. A crash before it is written leaves files that the
next run writes again with the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manifests import records as rec
from manifests.columns import Columns, Made, values_of
from manifests.files import write_atomic
from manifests.plain_words import read_json
from manifests.shards import index_name
from pipeline.build.described import Told, describe
from pipeline.build.publication import Found, Publication, entries_of, plan
from pipeline.build.published import SHARED, Published
from pipeline.build.published import read as read_published
from pipeline.build.published import write as write_published
from pipeline.build.said import said_of
from pipeline.build.tables import Content, all_of, beside, columns_of
from pipeline.build.tables import write as write_tables
from pipeline.build.texts import texts_of, with_text
from pipeline.config.build_config import BuildConfig, as_yaml
from pipeline.corpus import marks
from pipeline.run.entry import decode
from pipeline.run.finished import Entries
from pipeline.run.steps import Steps
from pipeline.storage.own_folder import OwnFolder, claim, fixed_names
from pipeline.storage.work_files import WorkFiles
from stages.corpus.sharding import write_shard
from stages.corpus.thresholds import ThresholdsConfig, fallen
from stages.hints import hints_by_source

SHARED_BY_CLIPS = ("video_id", "shot_id", "track_id", "offset_status", "residual_status")
"""Texts that many clips have in common."""


def publish(
    root: Path,
    files: WorkFiles,
    config: BuildConfig,
    entries: Entries,
    status: list[dict[str, Any]],
) -> Published:
    """Write the corpus to `root`. Returns what is published.

    Raises FileInTheWayError for files that yld did not write, and EmptySplitError, both before
    anything is changed.
    """
    found = _find(entries, files, config.thresholds)
    publication = plan(found, config)
    own = claim(root, "corpus")
    own.refuse_strays("manifests/*/part-*.parquet", fixed_names())
    rewritten = dict.fromkeys([*publication.thinned, *_damaged(own, publication.kept)])
    again = entries_of(list(rewritten), publication, found)
    shards = [*again.items(), *publication.shards]
    written = [name for shard, _ in shards for name in (shard, index_name(shard))]
    own.about_to_write([*written, *fixed_names()])
    if publication.is_anew:
        (files.folder / "published.json").unlink(missing_ok=True)
    elif publication.thinned:  # should this run die, their clips are new to the next one
        thinned = frozenset(publication.thinned)
        kept = (s for s in publication.kept if s.shard not in thinned)
        rest = Columns(rec.Sample, SHARED, kept)
        write_published(files.folder, publication.as_published(rest), None)
    samples = Columns(rec.Sample, SHARED, (s for s in publication.kept if s.shard not in again))
    num_kept = len(samples)
    with Steps("publish", len(shards), "shards") as steps:
        for shard, group in shards:
            steps.at(shard)
            group = list(group)  # made once, not each time it is gone through
            files.bring(dict.fromkeys(e.clip.payload_path for e in group))
            rows, digest = write_shard(root, files.folder, shard, group)
            own.digests.told(shard, digest)
            samples.extend(rows)
            steps.done()
    # Shards of an earlier recipe or of a run that died while publishing.
    wanted = {shard for shard in set(samples.column("shard")) | again.keys()}
    wanted |= {index_name(shard) for shard in wanted}
    own.remove([n for n in own.files if n.startswith("shards/") and n not in wanted])
    before = found.before
    # Tables are appended to where all that they tell of stays.
    stays = (
        before is not None
        and not again
        and (before.marked, before.fallen) == (publication.marked, publication.fallen)
    )
    content = _content(files, found, publication, samples, num_kept if stays else 0)
    standing = before.tables if before and stays and not publication.is_anew else {}
    tables, parts = write_tables(own, entries, content, standing)
    name = files.corpus_name or root.name
    write_atomic(root / "config.yaml", as_yaml(config))
    describe(
        own,
        Told(
            name,
            samples,
            content.sources,
            publication.frozen or {},
            publication.sentence,
            publication.left_out,
            status,
            parts,
        ),
    )
    own.wrote([*written, *fixed_names()])
    done = publication.as_published(samples, tables)
    write_published(files.folder, done, found.before)
    return done


def _find(entries: Entries, files: WorkFiles, thresholds: ThresholdsConfig) -> Found:
    clips = columns_of(entries, rec.Clip, SHARED_BY_CLIPS)
    sources = list(all_of(entries, rec.Fetched))
    videos = {v.video_id: v for v in all_of(entries, rec.Video)}
    # An array of 128 numbers takes a quarter of what a list of them takes.
    identities = [
        dataclasses.replace(i, embedding=array("d", i.embedding))
        for i in all_of(entries, rec.Identity)
    ]
    hints = _hints(files)
    tables: dict[str, Sequence[Any]] = {"hints": hints}
    if hints:
        tables |= {
            "expanded": list(all_of(entries, rec.Source)),
            "sources": sources,
            "tracks": list(all_of(entries, rec.Track)),
            "identities": identities,
            "clips": clips,
        }
    texts = texts_of(clips, sources, videos, files, hints_by_source(tables) if hints else {})
    return Found(
        clips,
        sources,
        videos,
        identities,
        texts,
        files.sizes_of(clips.column("payload_path")),
        read_published(files.folder),
        marks.read(files.folder),
        _fallen(clips, entries, thresholds),
        said_of(tables),
        hints,
    )


def _fallen(
    clips: Sequence[rec.Clip], entries: Entries, thresholds: ThresholdsConfig
) -> dict[str, rec.Reject]:
    """Clips that do not keep to a threshold, by id."""
    if not thresholds.any_set():
        return {}
    judged = (fallen(*row, thresholds) for row in beside(clips, entries))
    return {reject.item_id: reject for reject in judged if reject is not None}


def _hints(files: WorkFiles) -> list[rec.Hint]:
    """What corpora said of the sources, sorted by id."""
    path = files.folder / "hints.json"
    if not path.exists():
        return []
    return sorted((decode(rec.Hint, h) for h in read_json(path)), key=lambda h: h.hint_id)


def _content(
    files: WorkFiles,
    found: Found,
    publication: Publication,
    samples: Sequence[rec.Sample],
    num_kept: int,
) -> Content:
    requests = json.loads((files.folder / "requests.json").read_text())
    before = found.before or Published("")
    out = (before.left_out, before.marked, before.fallen)
    known = {s.track_id for s in before.speakers}.union(*out) if num_kept else ()
    return Content(
        [rec.Request(**r) for r in requests],
        found.sources,
        Made(len(found.clips), lambda i: with_text(found.clips[i], found.texts[i])),
        publication.speakers,
        samples,
        publication.rejects,
        num_kept,
        frozenset(known),
        found.hints,
    )


def _damaged(own: OwnFolder, kept: Sequence[rec.Sample]) -> list[str]:
    """Old shards that are gone or no longer what was written: a seal over them would bless the
    damage."""
    found = [shard for shard in dict.fromkeys(values_of(kept, "shard")) if not own.is_whole(shard)]
    for shard in found:
        print(f"yld: {own.root / shard} is gone or damaged; it is written again", file=sys.stderr)
    return found
