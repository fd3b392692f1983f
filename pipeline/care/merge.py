"""`yld merge A B --out C`: two corpora as one that can be built on.

The first one's parts and speakers stay, and its rule divides what the second one adds: as if B had
been appended to A. A person of B whose face is near one of A's is that person. What either took out
stays out of both. Ledgers, side files and media come along, so that a build of C goes on from what
both have done. No stage runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manifests import records as rec
from manifests import splits
from manifests.corpus import Corpus
from manifests.files import write_atomic
from manifests.schema import TABLES, write_table
from pipeline.build.described import Told, describe
from pipeline.build.gone import gone_of
from pipeline.build.published import Published
from pipeline.build.published import write as write_published
from pipeline.build.said import Said, said_of
from pipeline.build.taking_out import sentence_of
from pipeline.build.work_without import status_without
from pipeline.care.likeness import config_of
from pipeline.care.merged_shards import From, write_shards
from pipeline.care.merged_work import merge_work
from pipeline.care.sides import (
    Merged,
    MergeError,
    Side,
    join_speakers,
    leave_out,
    refuse_other_settings,
    side_of,
)
from pipeline.storage import made
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import claim, fixed_names, refuse_inside

JOURNAL = "merging.json"


def merge(first: Path, second: Path, out: Path, *, anew: bool = False) -> Merged:
    """Write C to `out`, a new folder or one that this command began. `anew`: all is divided again.

    Raises NotACorpusError, MergeError, NotOursError, EmptySplitError, before C is published.
    """
    a, b = side_of(first), side_of(second)
    for one in (first, second):
        refuse_inside(one, out)
    refuse_other_settings(a, b)
    done = Merged()
    leave_out(a, b, done)
    join_speakers(a, b, done)
    if (out / "manifests").is_dir() and not (out / "work" / JOURNAL).exists():
        raise MergeError(f"{out} holds a corpus already; name a new folder")
    claim(out, "corpus", fixed_names())
    with CorpusLock(out / "work"):
        write_atomic(out / "work" / JOURNAL, json.dumps([str(first), str(second)]))
        for one in (first, second):
            made.note(one, out, "merge")
        (out / "work" / "published.json").unlink(missing_ok=True)
        merge_work(a, b, out / "work")
        _publish(a, b, out, done, anew=anew)
        (out / "work" / JOURNAL).unlink()
    return done


def _publish(a: Side, b: Side, out: Path, done: Merged, *, anew: bool) -> None:
    own, config = claim(out, "corpus"), config_of(a.corpus)
    tables = {table: _rows(a, b, table) for table in TABLES if table not in ("samples", "rejects")}
    said = said_of(tables)
    clips = {c.clip_id: c for c in tables["clips"]}
    videos = {v.video_id: v for v in tables["videos"]}
    samples = [(a, s) for s in a.rows("samples")] + [(b, s) for s in b.rows("samples")]
    speaker_of = {s.clip_id: s.speaker_id for _, s in samples}
    before = a.published.splits
    # Where A was too small, nothing of it is val or test yet: as where it is appended to.
    if before is None or splits.is_open(before, [s.split for s in a.rows("samples")]):
        anew = True
    rendered = [clips[s.clip_id] for _, s in samples]
    frozen = before or {}
    if anew:
        frozen = splits.freeze(config.splits, rendered, set(speaker_of.values()), said.parts)
    taken: list[From] = []
    rejects: list[rec.Reject] = []
    for side, sample in samples:
        part: str | None = sample.split
        if anew or side is b:
            part = _part(frozen, clips[sample.clip_id], sample.speaker_id, videos, said)
        done.moved[sample.split, part or "none"] += part != sample.split
        if part is None:
            rejects.append(_no_part(sample))
        else:
            taken.append(From(side.root, sample, part))
    done.moved = +done.moved
    done.left_out = len(rejects)
    done.clips = (
        sum(f.root == a.root for f in taken),
        sum(f.root == b.root for f in taken),
    )
    rows = write_shards(own, taken, config.shards, None if anew else a.root)
    tables["samples"] = rows
    fell = [*_rows(a, b, "rejects"), *rejects]
    tables["rejects"] = sorted(fell, key=lambda r: (r.stage, r.item_id))
    parts = [f"manifests/{table}/part-000000.parquet" for table in TABLES]
    own.about_to_write([*parts, *fixed_names()])
    for table, kind in TABLES.items():
        write_table(out / f"manifests/{table}/part-000000.parquet", kind, tables[table])
    done.sentence = sentence_of(dict(frozen), [s.split for s in rows])
    left_out = [
        *(c for side in (a, b) for c in side.published.left_out if not side.gone.has(c)),
        *(r.item_id for r in rejects),
    ]
    write_atomic(out / "config.yaml", (a.root / "config.yaml").read_text(encoding="utf-8"))
    status = _status(a, b)
    told = Told(out.name, rows, tables["sources"], frozen, done.sentence, left_out, status, parts)
    describe(own, told)
    own.wrote([*parts, *fixed_names()])
    _remember(a, b, out, rows, tables["speakers"], frozen, left_out)
    _report(out)


def _rows(a: Side, b: Side, table: str) -> list[Any]:
    """A's and B's, each record once, in the order of a build."""
    if table in ("rejects", "failures"):
        fell = {(r.stage, r.item_id): r for side in (b, a) for r in side.rows(table)}
        return [fell[key] for key in sorted(fell)]
    both = {rec.record_id(r): r for side in (b, a) for r in side.rows(table)}
    return [both[key] for key in sorted(both)]


def _part(
    frozen: Mapping[str, Any],
    clip: rec.Clip,
    speaker: str,
    videos: Mapping[str, rec.Video],
    said: Said,
) -> str | None:
    official, names = said.parts.get(clip.clip_id), said.names.get(clip.video_id, ())
    return splits.assign(dict(frozen), clip, speaker, videos[clip.video_id], official, names)


def _no_part(sample: rec.Sample) -> rec.Reject:
    detail = "the rule of the corpus that it was merged into has no part for it"
    return rec.Reject(
        "between_splits", None, None, detail, "shards", sample.clip_id, sample.video_id
    )


def _remember(
    a: Side,
    b: Side,
    out: Path,
    rows: Sequence[rec.Sample],
    speakers: Sequence[rec.Speaker],
    frozen: Mapping[str, Any],
    left_out: Sequence[str],
) -> None:
    prints = {
        s.clip_id: p
        for side in (b, a)
        for s, p in zip(side.published.samples, side.published.prints, strict=True)
    }
    now = Published(
        a.published.recipe,
        list(rows),
        [prints[s.clip_id] for s in rows],
        list(speakers),
        dict(frozen),
        list(left_out),
        {},
        [c for side in (a, b) for c in side.published.marked if not side.gone.has(c)],
    )
    write_published(out / "work", now, None)


def _status(a: Side, b: Side) -> list[dict[str, Any]]:
    """The funnels of both together; costs a second of video are not known of the two."""
    whole = gone_of(b.corpus, b.gone.requests, b.gone.sources, b.gone.videos | b.skipped)
    rows = [status_without(a.root, a.gone), status_without(b.root, whole)]
    by_stage: dict[str, dict[str, Any]] = {}
    for row in (row for side in rows for row in side):
        before = by_stage.get(row["stage"])
        by_stage[row["stage"]] = row if before is None else _sum(before, row)
    return list(by_stage.values())


def _sum(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in one.items():
        other = two.get(name)
        if not isinstance(value, (int, float)) or not isinstance(other, (int, float)):
            made[name] = value if isinstance(value, str) else None
        elif name == "peak_rss_mb":
            made[name] = max(value, other)
        else:
            made[name] = None if "_per_" in name else round(value + other, 2)
    return made


def _report(out: Path) -> None:
    from pipeline.corpus.report import write_report

    own = claim(out, "corpus")
    own.about_to_write(["report.html"])
    write_report(Corpus(out))
    own.wrote(["report.html"])
