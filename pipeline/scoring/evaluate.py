"""`yld evaluate`: scores of a folder of generated speech, in parallel on Ray, resumable.

Three systems are scored alike: the hypotheses, the ground truth against itself (what a perfect
model gets), and its Griffin-Lim round trip (the ceiling of models that predict spectrograms).
Rows go to `work/rows.jsonl` as they come, each under a key of the files' contents and the
metric's signature; the same command again scores only what is new or was changed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.metrics.offset_r2 import agreement
from evaluation.pairing import pair_folders
from evaluation.records import Score, Utterance
from evaluation.signatures import signature, with_fields
from evaluation.statistics import Summary, summarise
from manifests.files import record_temporaries, sha256_of, sweep_temporaries, write_atomic
from manifests.ids import hash_id
from manifests.schema import write_table
from pipeline.run.steps import Steps
from pipeline.scoring.workers import Job, parallel
from pipeline.storage.lock import RECORDS
from pipeline.storage.own_folder import OwnFolder, check, claim

HYPOTHESIS, GROUND_TRUTH, GRIFFIN_LIM = "hypothesis", "ground_truth", "griffin_lim"
CEILINGS = (GROUND_TRUTH, GRIFFIN_LIM)
MADE = ["scores.parquet", "ceilings.parquet", "scores.json", "report.html"]


@dataclass(frozen=True)
class Outcome:
    """All rows by system, and the table made of them."""

    rows: dict[str, list[Score]]
    summaries: dict[str, list[Summary]]
    utterances: list[Utterance]
    only_hypotheses: list[str]
    num_reused: int


def evaluate(
    reference: Path,
    hypothesis: Path,
    out: Path,
    names: Sequence[str],
    *,
    video: Path | None = None,
    text: Path | None = None,
    speakers: Path | None = None,
    ceilings: bool = True,
    address: str | None = None,
    made_by: Mapping[str, str] | None = None,
) -> Outcome:
    """Score every pair and write `scores.parquet`, `ceilings.parquet` and `scores.json`. What made
    the hypotheses is added to their signatures.

    Raises ValueError for folders without a pair, NotOursError and FileInTheWayError for what is
    another's at `out`, and ClusterError where Ray does not start.
    """
    check(out, "scores")
    utterances, only = pair_folders(reference, hypothesis, video, text, speakers)
    own = claim(out, "scores", MADE)
    sweep_temporaries(out / "work" / RECORDS)
    record_temporaries(out / "work" / RECORDS)
    try:
        return _evaluate(utterances, only, out, names, ceilings, address, own, made_by or {})
    finally:
        record_temporaries(None)


def _evaluate(
    utterances, only, out, names, ceilings, address, own: OwnFolder, made_by: Mapping[str, str]
) -> Outcome:
    store = RowStore(out / "work" / "rows.jsonl")
    tasks = list(_tasks(utterances, out, ceilings))
    keys = Keys()
    wanted = {(system, u.utterance, n): keys.of(system, u, n) for system, u in tasks for n in names}
    jobs = [
        Job(system, u, left, system == GRIFFIN_LIM)
        for system, u in tasks
        if (left := tuple(n for n in names if wanted[system, u.utterance, n] not in store.rows))
    ]
    trips = sorted(
        {
            os.path.relpath(Path(job.utterance.hypothesis).with_suffix(suffix), out.resolve())
            for job in jobs
            if job.round_trip
            for suffix in (".flac", ".wav")
        }
    )
    own.about_to_write(trips)
    reused = len(wanted) - sum(len(job.names) for job in jobs)
    if jobs:
        _run(jobs, store, wanted, address)
    rows = {
        system: [store.rows[key] for (s, _, _), key in wanted.items() if s == system]
        for system in dict.fromkeys(system for system, _ in tasks)
    }
    # A change of the speakers' file changes no score.
    speaker = {u.utterance: u.speaker for u in utterances}
    rows = {
        system: [dataclasses.replace(r, speaker=speaker[r.utterance]) for r in group]
        for system, group in rows.items()
    }
    if made_by and HYPOTHESIS in rows:
        rows[HYPOTHESIS] = [
            dataclasses.replace(r, signature=with_fields(r.signature, made_by))
            for r in rows[HYPOTHESIS]
        ]
    outcome = Outcome(rows, {s: summarise(r) for s, r in rows.items()}, utterances, only, reused)
    own.about_to_write(MADE)
    _write(out, outcome)
    own.wrote([*MADE, *trips])
    return outcome


def _tasks(
    utterances: Sequence[Utterance], out: Path, ceilings: bool
) -> Iterator[tuple[str, Utterance]]:
    for utterance in utterances:
        yield HYPOTHESIS, utterance
        if ceilings:
            yield GROUND_TRUTH, dataclasses.replace(utterance, hypothesis=utterance.reference)
            name = hash_id(utterance.utterance) + ".flac"
            path = (out / "work" / "griffin_lim" / name).resolve()
            yield GRIFFIN_LIM, dataclasses.replace(utterance, hypothesis=str(path))


class Keys:
    """Names of rows by content: files are hashed once each."""

    def __init__(self) -> None:
        self._hashes: dict[str, str] = {}

    def _hash(self, path: str | None) -> str:
        if not path:
            return ""
        if path not in self._hashes:
            self._hashes[path] = sha256_of(path)
        return self._hashes[path]

    def of(self, system: str, utterance: Utterance, name: str) -> str:
        """Everything that the row depends on. The round trip depends on the reference alone."""
        made = "" if system == GRIFFIN_LIM else self._hash(utterance.hypothesis)
        return hash_id(
            system,
            utterance.utterance,
            self._hash(utterance.reference),
            made,
            self._hash(utterance.video),
            utterance.text or "",
            signature(name),
            length=32,
        )


class RowStore:
    """Rows in a file that only grows; a line cut short by a crash is dropped, and one that says
    nothing (damaged, or a value that is no number) is scored anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: dict[str, Score] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            content = path.read_bytes()
            whole, _, rest = content.rpartition(b"\n")
            if rest:
                write_atomic(path, whole + b"\n" if whole else b"")
            self.rows = dict(filter(None, map(_kept_row, whole.splitlines())))

    def add(self, keyed: Sequence[tuple[str, Score]]) -> None:
        """Append rows, flushed before this returns. What may pass of itself (a crash, no time)
        is kept for this run's table but tried again by the next."""
        with open(self._path, "a", encoding="utf-8") as file:
            for key, row in keyed:
                self.rows[key] = row
                if not is_passing(row):
                    file.write(json.dumps({"key": key, "row": dataclasses.asdict(row)}) + "\n")


def _kept_row(line: bytes) -> tuple[str, Score] | None:
    try:
        entry = json.loads(line)
        key, row = str(entry["key"]), Score(**entry["row"])
        is_sound = (row.status == "ok") == (row.value is not None) and math.isfinite(row.value or 0)
    except (ValueError, TypeError, KeyError):
        return None
    return (key, row) if is_sound else None


def is_passing(row: Score) -> bool:
    """Whether another run may give another row: the worker's death, time, a missing package."""
    return row.status == "error" and (row.reason or "").startswith(
        ("crash:", "no end within", "unavailable:", "worker:")
    )


def _run(jobs: Sequence[Job], store: RowStore, wanted: dict, address: str | None) -> None:
    from pipeline.run import cluster, supervisor

    started_here = _is_ray_down()
    if started_here:
        cluster.start(address)
    try:
        total = sum(len(job.names) for job in jobs)
        with cluster.errors_told(), Steps("evaluate", total, "scores") as steps:
            for job, rows in parallel(jobs):
                store.add(
                    [(wanted[job.system, job.utterance.utterance, row.metric], row) for row in rows]
                )
                if not all(is_passing(row) for row in rows):
                    supervisor.progressed()
                steps.at(job.utterance.utterance)
                steps.done(len(rows))
    finally:
        if started_here:
            cluster.stop()


def _is_ray_down() -> bool:
    ray = sys.modules.get("ray")
    return ray is None or not ray.is_initialized()


def table_rows(summaries: dict[str, list[Summary]]) -> list[dict[str, Any]]:
    """The table for a terminal or JSON: one row per system and metric."""
    return [
        {"system": system, **dataclasses.asdict(summary)}
        for system, group in summaries.items()
        for summary in group
    ]


def _write(out: Path, outcome: Outcome) -> None:
    write_table(out / "scores.parquet", Score, outcome.rows[HYPOTHESIS])
    ceilings = [
        dataclasses.replace(row, utterance=f"{system}/{row.utterance}")
        for system in CEILINGS
        for row in outcome.rows.get(system, [])
    ]
    if ceilings:
        write_table(out / "ceilings.parquet", Score, ceilings)
    write_atomic(
        out / "scores.json",
        json.dumps(
            {
                "table": table_rows(outcome.summaries),
                "offset_r2": agreement(outcome.rows[HYPOTHESIS]),
                "num_utterances": len(outcome.utterances),
                "hypotheses_without_reference": outcome.only_hypotheses,
            },
            indent=1,
        ),
    )
