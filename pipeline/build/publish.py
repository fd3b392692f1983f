"""From finished units to a corpus: read, plan (`pipeline.build.publication`), write; in that order.

What `published.json` names is the corpus. A crash before it is written leaves files that the
next run writes again with the same bytes.
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
from manifests.description.card import card, write_checksums
from manifests.description.croissant import croissant, has_wide_audio
from manifests.files import write_atomic
from manifests.plain_words import read_json
from manifests.schema import TABLES, write_table
from manifests.shards import index_name
from pipeline.build.publication import Found, Publication, Tables, collect, entries_of, plan
from pipeline.build.said import hints_by_source, said_of
from pipeline.config.build_config import BuildConfig, as_yaml
from pipeline.run.ledger import Entry, decode
from pipeline.storage.own_folder import OwnFolder, claim, fixed_names
from pipeline.storage.work_files import WorkFiles
from stages.corpus.sharding import write_shard
from stages.text.clip_text import ClipText, text_of
from stages.text.transcripts import Found as Transcript
from stages.text.transcripts import transcript_of


def publish(
    root: Path,
    files: WorkFiles,
    config: BuildConfig,
    entries: dict[str, dict[str, Entry]],
    status: list[dict[str, Any]],
) -> dict[str, Any]:
    """Write the corpus to `root`. Returns what `published.json` holds.

    Raises FileInTheWayError for files that yld did not write, and EmptySplitError, both before
    anything is changed.
    """
    found = _find(entries, files)
    publication = plan(found, config)
    own = claim(root, "corpus")
    own.refuse_strays("manifests/*/part-*.parquet", fixed_names())
    again = {
        shard: entries_of(shard, publication, found) for shard in _damaged(own, publication.kept)
    }
    shards = [*again.items(), *publication.shards]
    files.bring(e.clip.payload_path for _, group in shards for e in group)
    written = [name for shard, _ in shards for name in (shard, index_name(shard))]
    own.about_to_write([*written, *fixed_names()])
    if publication.is_anew:
        (files.folder / "published.json").unlink(missing_ok=True)
    samples = [s for s in publication.kept if s.shard not in again]
    for shard, group in shards:
        samples += write_shard(root, files.folder, shard, group)
    # Shards of an earlier recipe or of a run that died while publishing.
    wanted = {name for s in samples for name in (s.shard, index_name(s.shard))}
    own.remove([n for n in own.files if n.startswith("shards/") and n not in wanted])
    _describe(
        root, files.corpus_name or root.name, config, found.tables, publication, samples, status
    )
    own.wrote([*written, *fixed_names()])
    done = publication.as_published(samples)
    write_atomic(files.folder / "published.json", json.dumps(done))
    return done


def _find(entries: dict[str, dict[str, Entry]], files: WorkFiles) -> Found:
    tables = collect(entries)
    tables["requests"] = [
        rec.Request(**r) for r in json.loads((files.folder / "requests.json").read_text())
    ]
    path = files.folder / "hints.json"
    tables["hints"] = (
        sorted((decode(rec.Hint, h) for h in read_json(path)), key=lambda h: h.hint_id)
        if path.exists()
        else []
    )
    texts = _texts(tables, files)
    sizes = {c.clip_id: files.size(c.payload_path) or 0 for c in tables["clips"]}
    path = files.folder / "published.json"
    before = json.loads(path.read_text()) if path.exists() else None
    return Found(tables, texts, sizes, before, said_of(tables))


def _describe(
    root: Path,
    name: str,
    config: BuildConfig,
    tables: Tables,
    publication: Publication,
    samples: Sequence[rec.Sample],
    status: list[dict[str, Any]],
) -> None:
    """All that stands beside the shards, the seals last."""
    tables = tables | {
        "rejects": [*tables["rejects"], *publication.rejects],
        "speakers": publication.speakers,
        "samples": sorted(samples, key=lambda s: (s.shard, s.index_in_shard)),
    }
    for table, kind in TABLES.items():
        write_table(root / "manifests" / table / "part-000000.parquet", kind, tables[table])
    write_atomic(
        root / "manifests" / "status.json", json.dumps({"stages": status}, indent=1) + "\n"
    )
    write_atomic(
        root / "manifests" / "splits.json",
        json.dumps(
            {
                **(publication.frozen or {}),
                "reason": publication.sentence,
                "left_out_clips": publication.left_out,
            },
            indent=1,
        )
        + "\n",
    )
    write_atomic(root / "config.yaml", as_yaml(config))
    sources, sentence = tables["sources"], publication.sentence
    write_atomic(root / "dataset.json", croissant(root, name, samples, sources, sentence))
    write_atomic(
        root / "README.md", card(name, samples, sources, sentence, has_wide_audio(root, samples))
    )
    write_checksums(
        root / "manifests",
        [*(f"{table}/part-000000.parquet" for table in TABLES), "status.json", "splits.json"],
    )
    write_checksums(root, [*sorted({s.shard for s in samples}), "dataset.json"])


def _damaged(own: OwnFolder, kept: Sequence[rec.Sample]) -> list[str]:
    """Old shards that are gone or no longer what was written: a seal over them would bless the
    damage."""
    found = [shard for shard in dict.fromkeys(s.shard for s in kept) if not own.is_whole(shard)]
    for shard in found:
        print(f"yld: {own.root / shard} is gone or damaged; it is written again", file=sys.stderr)
    return found


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
    hints = hints_by_source(tables)
    found: dict[str, Transcript] = {}
    of_source: dict[str, Transcript] = {}
    for video_id in sorted({c.video_id for c in tables["clips"]}):
        sources = by_video[video_id]
        files.bring(path for s in sources for path in s.caption_paths)
        found[video_id], by_source = transcript_of(sources, videos[video_id], files.folder, hints)
        of_source |= by_source
    for index, source in enumerate(tables["sources"]):
        if (has := of_source.get(source.source_id)) is not None:
            tables["sources"][index] = dataclasses.replace(
                source,
                transcript_path=has.path,
                transcript_sha256=has.sha256,
                transcript_reason=has.reason,
            )
    texts = {}
    for index, clip in enumerate(tables["clips"]):
        text = text_of(clip, videos[clip.video_id], found[clip.video_id])
        texts[clip.clip_id] = text
        tables["clips"][index] = dataclasses.replace(
            clip, text=text.text, text_source=text.text_source, text_reason=text.text_reason
        )
    return texts
