"""`yld audit`: the audio-visual offset of every clip of any corpus, with a number or a reason.

The stages of a build up to the tracks, then `stages.sync.audit`; the same ledger, so that a killed
audit goes on where it was. Nothing of the audited corpus is changed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests import records as rec
from manifests.files import write_atomic
from manifests.ids import hash_id
from manifests.numbers import signed_ms
from manifests.paths import as_path, as_text
from manifests.plain_words import read_json
from manifests.shards import ShardError, read_samples
from pipeline.audit import rows
from pipeline.config.build_config import BuildConfig, stage_configs
from pipeline.graph import AUDIT_JOB, SHARD_JOB
from pipeline.run.finished import Entries
from pipeline.run.session import running
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import check, claim
from pipeline.storage.work_files import WorkFiles
from stages.backends import registry
from stages.sources import layouts
from stages.sources.layouts import Item
from stages.sync.audit import MeasureConfig
from stages.sync.estimators import ESTIMATORS

FRAME_MS = 40.0
SHARED = 0.9
"""Part of a speaker's measured clips that must lie within a frame of the centre to be of one
recording."""
FILES = ("offsets.parquet", "summary.json")
MOST_NAMED = 3
"""Clips far from the others' lag that a speaker's line names; summary.json has them all."""


@dataclass(frozen=True)
class Audit:
    """What an audit found: `rows` as in `offsets.parquet`, and `entries` for who goes on."""

    layout: str
    items: list[Item]
    rows: list[dict[str, Any]]
    entries: Entries
    summary: list[dict[str, Any]]


def audit(
    path: Path,
    out: Path,
    config: BuildConfig,
    *,
    layout: str | None = None,
    estimators: Sequence[str] = ("lipsync",),
    address: str | None = None,
    with_report: bool = True,
    skip: Path | None = None,
    name: str | None = None,
    is_step: bool = False,
) -> Audit:
    """Measure all clips of `path`; writes `offsets.parquet`, `summary.json`, `report.html`.

    `skip`: a folder in which none of the clips lie, `out` if not given. `name`: what `path` is,
    wherever it lies, for one that moves with `out`; its place if not given. `is_step`: of another
    command, so that the page proposes none.
    Raises LayoutError, CorpusBusyError, ClusterError; NotOursError and FileInTheWayError for
    what is another's at `out`; ValueError for an unknown estimator or a
    folder that holds another audit.
    """
    started = time.monotonic()
    for estimator in estimators:
        registry.make(ESTIMATORS, estimator)
    layout, items = layouts.find(path, layout, skip or out)
    if out.resolve() == path.resolve():
        raise ValueError(f"{out} is what is audited; give another folder to --out")
    made = [*FILES, *(["report.html"] if with_report else [])]
    name = as_text(path.resolve()) if name is None else name
    refuse_another(out, name, path)
    own = claim(out, "audit", made)
    print(
        f"{len(items)} {'shards' if items[0].kind == 'shard' else 'clips'}, layout {layout}",
        file=sys.stderr,
    )
    work = (out / "work").resolve()
    work.mkdir(exist_ok=True)
    write_atomic(work / "audited.json", json.dumps(name))
    measure = MeasureConfig(list(estimators), config.sync)
    with CorpusLock(work) as lock:
        if items[0].kind == "shard":
            found, entries = _audit_shards(items, work, lock, config, measure, address)
        else:
            found, entries = _audit_files(items, work, lock, config, measure, address)
        own.about_to_write(made)
        rows.write(found, out / "offsets.parquet")
        summary = summarize(first_of(found, estimators[0]))
        write_atomic(out / "summary.json", json.dumps(summary, indent=1))
        if with_report:
            from pipeline.audit.report import write_report

            audited = None if is_step else path
            page = out / "report.html"
            write_report(page, path.name, layout, found, list(estimators), audited)
        own.wrote(made)
    print(f"{len(found)} rows in {time.monotonic() - started:.0f} s; {out}", file=sys.stderr)
    return Audit(layout, items, found, entries, summary)


def refuse_another(out: Path, name: str, path: Path) -> None:
    """What `audit` refuses at `out`, before any work; changes nothing. One folder holds one audit.

    Raises ValueError where `out` holds the audit of anything but `name`; notes of versions before
    names have the place of `path`, of which the last two parts count where it has a name.
    """
    own = check(out, "audit")
    if own is not None:
        own.refuse_foreign(FILES)
    note = out / "work" / "audited.json"
    held = read_json(note) if note.exists() else name
    is_before_names = name != as_text(path.resolve()) and (
        as_path(str(held)).parts[-2:] == path.parts[-2:]
    )
    if held != name and not is_before_names:
        raise ValueError(f"{out.resolve()} holds the audit of {held}; give another folder to --out")


def _audit_files(items, work, lock, config, measure, address):
    requests, hints = layouts.requests_of(items)
    configs = stage_configs(config) | {"measure": measure}
    with running(
        AUDIT_JOB, configs, config, WorkFiles(work), lock, requests, address=address
    ) as runner:
        entries = runner.run(requests, hints)
    return rows.of_files(items, entries, measure.estimators, measure.sync.search_ms), entries


def _audit_shards(items, work, lock, config, measure, address):
    # Bytes, not names, tell shards apart: a shard made anew must be measured anew.
    from manifests.files import sha256_of

    requests = [
        rec.Request(
            f"r{hash_id('shard', i.path, sha256_of(as_path(i.path)))}", i.path, "shard", i.path
        )
        for i in items
    ]
    with running(
        SHARD_JOB,
        {"measure_shard": measure},
        config,
        WorkFiles(work),
        lock,
        requests,
        address=address,
    ) as runner:
        entries = runner.run(requests)
    facts = {}
    for item in items:
        facts |= sample_facts(as_path(item.path))
    return rows.of_shards({r.request_id: r.address for r in requests}, facts, entries), entries


def sample_facts(tar: Path) -> dict[str, dict[str, Any]]:
    """The `json` of each sample, by key; empty for what is no shard."""
    try:
        return {
            sample.key: sample.facts for sample in read_samples(tar) if "json" in sample.members
        }
    except ShardError:
        return {}


def first_of(found: list[dict[str, Any]], estimator: str) -> list[dict[str, Any]]:
    """The rows of one estimator, and those that no estimator saw. Rows name it with its version,
    and one's name may begin with another's (lipsync, lipsync_linear)."""
    return [r for r in found if (r.get("estimator") or estimator).rsplit("-", 1)[0] == estimator]


def summarize(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per speaker: counts, centre and spread in ms, share within one frame of zero."""
    by: dict[str | None, list[dict[str, Any]]] = {}
    for row in found:
        by.setdefault(row.get("speaker"), []).append(row)
    table = []
    for speaker in sorted(by, key=lambda s: (s is None, s or "")):
        group = by[speaker]
        lags = [r["video_lag_ms"] for r in group if r.get("video_lag_ms") is not None]
        centre, spread = rows.centre_of(lags) if lags else (None, None)
        table.append(
            {
                "speaker": speaker,
                "clips": len(group),
                "measured": len(lags),
                "undecided": sum(r["offset_status"] == "undecided" for r in group),
                "at_search_limit": sum(r["offset_status"] == "at_search_limit" for r in group),
                "no_speech": sum(r["offset_status"] == "no_speech" for r in group),
                "no_face": sum(r["offset_status"] == "no_face" for r in group),
                "centre_ms": None if centre is None else round(centre, 1),
                "spread_ms": None if spread is None else round(spread, 1),
                "within_frame_of_centre": sum(abs(x - centre) <= FRAME_MS for x in lags),
                "within_frame_of_zero": sum(abs(x) <= FRAME_MS for x in lags),
                "farther_off": [] if centre is None else _farther_off(group, centre),
            }
        )
    return table


def _farther_off(group: list[dict[str, Any]], centre_ms: float) -> list[dict[str, Any]]:
    """The clips more than a frame from their speaker's centre, the farthest first."""
    off = [
        {name: r.get(name) for name in ("clip_id", "path", "video_lag_ms")}
        for r in group
        if r.get("video_lag_ms") is not None and abs(r["video_lag_ms"] - centre_ms) > FRAME_MS
    ]
    return sorted(off, key=lambda r: (-abs(r["video_lag_ms"] - centre_ms), r["clip_id"] or ""))


def centres(summary: list[dict[str, Any]]) -> dict[str | None, float]:
    """Centre in ms of each speaker with at least five measured clips, of which nine in ten lie
    within a frame of it: clips of several recordings share no lag."""
    return {
        r["speaker"]: r["centre_ms"]
        for r in summary
        if r["measured"] >= 5 and r["within_frame_of_centre"] >= SHARED * r["measured"]
    }


def sentence(row: dict[str, Any]) -> str:
    """A speaker's line of the summary in words."""
    name = row["speaker"] or "speaker not known"
    if not row["measured"]:
        return f"{name}: none of {row['clips']} clips could be measured"
    told = (
        f"{name} centres at {signed_ms(row['centre_ms'])} (spread {row['spread_ms']:.0f} ms), "
        f"{row['within_frame_of_centre'] / row['measured']:.0%} within one frame of that; "
        f"{row['measured']} of {row['clips']} clips measured"
    )
    off = row["farther_off"]
    if not off or len(off) > row["measured"] / 2:  # no centre that most of them share
        return told
    named = ", ".join(f"{r['clip_id']} ({signed_ms(r['video_lag_ms'])})" for r in off[:MOST_NAMED])
    more = f" and {len(off) - MOST_NAMED} more" if len(off) > MOST_NAMED else ""
    return f"{told}; farther off: {named}{more}"
