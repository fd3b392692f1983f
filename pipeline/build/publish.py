"""From finished units to a corpus: read, plan (`pipeline.build.publication`), write; in that order.

What `published.json` names is the corpus. A crash before it is written leaves files that the
next run writes again with the same bytes.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manifests import records as rec
from manifests.files import write_atomic
from manifests.plain_words import read_json
from manifests.shards import index_name
from pipeline.build.described import Told, describe
from pipeline.build.publication import Found, Publication, entries_of, plan
from pipeline.build.published import Published
from pipeline.build.published import read as read_published
from pipeline.build.published import write as write_published
from pipeline.build.said import said_of
from pipeline.build.tables import Content, all_of, beside
from pipeline.build.tables import write as write_tables
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
from stages.text.clip_text import ClipText, text_of
from stages.text.transcripts import Found as Transcript
from stages.text.transcripts import transcript_of


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
        rest = [s for s in publication.kept if s.shard not in publication.thinned]
        write_published(files.folder, publication.as_published(rest), None)
    samples = [s for s in publication.kept if s.shard not in again]
    num_kept = len(samples)
    with Steps("publish", len(shards), "shards") as steps:
        for shard, group in shards:
            steps.at(shard)
            files.bring(dict.fromkeys(e.clip.payload_path for e in group))
            rows, digest = write_shard(root, files.folder, shard, group)
            own.digests.told(shard, digest)
            samples += rows
            steps.done()
    # Shards of an earlier recipe or of a run that died while publishing.
    wanted = {shard for shard in {s.shard for s in samples} | again.keys()}
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
    clips = [_shared(c) for c in all_of(entries, rec.Clip)]
    sources = list(all_of(entries, rec.Fetched))
    videos = {v.video_id: v for v in all_of(entries, rec.Video)}
    # An array of 128 numbers takes a quarter of what a list of them takes.
    identities = [
        dataclasses.replace(i, embedding=array("d", i.embedding))
        for i in all_of(entries, rec.Identity)
    ]
    hints = _hints(files)
    tables: dict[str, list[Any]] = {"hints": hints}
    if hints:
        tables |= {
            "expanded": list(all_of(entries, rec.Source)),
            "sources": sources,
            "tracks": list(all_of(entries, rec.Track)),
            "identities": identities,
            "clips": clips,
        }
    texts = _texts(clips, sources, videos, files, hints_by_source(tables) if hints else {})
    sizes = files.sizes_of(dict.fromkeys(c.payload_path for c in clips))
    return Found(
        clips,
        sources,
        videos,
        identities,
        texts,
        {c.clip_id: sizes.get(c.payload_path) or 0 for c in clips},
        read_published(files.folder),
        marks.read(files.folder),
        _fallen(clips, entries, thresholds),
        said_of(tables),
        hints,
    )


def _fallen(
    clips: list[rec.Clip], entries: Entries, thresholds: ThresholdsConfig
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


def _shared(clip: rec.Clip) -> rec.Clip:
    """The same with one string for each thing that many clips name."""
    for name in ("video_id", "shot_id", "track_id", "offset_status", "residual_status"):
        object.__setattr__(clip, name, sys.intern(getattr(clip, name)))
    return clip


def _content(
    files: WorkFiles,
    found: Found,
    publication: Publication,
    samples: list[rec.Sample],
    num_kept: int,
) -> Content:
    requests = json.loads((files.folder / "requests.json").read_text())
    before = found.before or Published("")
    out = (before.left_out, before.marked, before.fallen)
    known = {s.track_id for s in before.speakers}.union(*out) if num_kept else ()
    return Content(
        [rec.Request(**r) for r in requests],
        found.sources,
        found.clips,
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
    found = [shard for shard in dict.fromkeys(s.shard for s in kept) if not own.is_whole(shard)]
    for shard in found:
        print(f"yld: {own.root / shard} is gone or damaged; it is written again", file=sys.stderr)
    return found


def _texts(
    clips: list[rec.Clip],
    sources: list[rec.Fetched],
    videos: dict[str, rec.Video],
    files: WorkFiles,
    hints: Mapping[str, list[rec.Hint]],
) -> dict[str, ClipText]:
    """The text of every clip by id; `sources` and `clips` are told of it in place.

    Here and not in a stage, so that a changed transcript makes no video anew, and that the same
    bytes found in two places, with a transcript in one of them, give the same text whichever
    was there first.
    """
    by_video: dict[str, list[rec.Fetched]] = defaultdict(list)
    for source in sources:
        by_video[source.video_id].append(source)
    wanted = dict.fromkeys(c.video_id for c in clips)
    files.bring(path for v in wanted for s in by_video[v] for path in s.caption_paths)
    of_source: dict[str, Transcript] = {}
    texts: dict[str, ClipText] = {}
    without: dict[str | None, ClipText] = {}
    for video_id, places in itertools.groupby(range(len(clips)), lambda i: clips[i].video_id):
        found, by_source = transcript_of(by_video[video_id], videos[video_id], files.folder, hints)
        of_source |= {i: dataclasses.replace(f, transcript=None) for i, f in by_source.items()}
        for place in places:
            clip = clips[place]
            text = text_of(clip, videos[video_id], found)
            if text.text is None:
                text = without.setdefault(text.text_reason, text)
            texts[clip.clip_id] = text
            clips[place] = dataclasses.replace(
                clip, text=text.text, text_source=text.text_source, text_reason=text.text_reason
            )
    for index, source in enumerate(sources):
        if (has := of_source.get(source.source_id)) is not None:
            sources[index] = dataclasses.replace(
                source,
                transcript_path=has.path,
                transcript_sha256=has.sha256,
                transcript_reason=has.reason,
            )
    return texts
