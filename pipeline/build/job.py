"""The main job from end to end: requests, Ray, the runner, publishing, report."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.columns import values_of
from manifests.links import Links
from manifests.plain_words import read_json
from manifests.records import Fetched, Hint, Request
from pipeline.build import staying_out
from pipeline.config.build_config import BuildConfig, stage_configs
from pipeline.graph import main_job, of_kind
from pipeline.run import metrics, placement, refetch, status, voice, why
from pipeline.run.ledger import decode
from pipeline.run.session import running
from pipeline.storage import mirror, own_folder
from pipeline.storage.lease import Lease
from pipeline.storage.lock import CorpusLock
from pipeline.storage.work_files import WorkFiles
from stages.sources.arguments import Given, given

HINTS = "hints.json"
"""Beside `requests.json`, below `work`."""

REPORTED_CLIPS = 200_000
"""A corpus of more is reported by `yld report` alone, which holds all tables in memory."""


@dataclass(frozen=True)
class Outcome:
    """What a build came to."""

    status: list[dict[str, Any]]
    num_samples: int
    failure_rate: float
    num_failed: int
    """Sources and videos in which something failed."""
    why: list[str]
    """The commonest reasons for what fell out, as lines."""
    report: Path | None
    num_videos: int = 0
    """Of which there are clips."""
    seconds: float = 0.0
    """The run took so long."""
    notes: tuple[str, ...] = ()
    """Sentences on the run, beside the funnel."""


def build(
    sources: Sequence[str],
    root: Path,
    config: BuildConfig,
    *,
    address: str | None = None,
    work: Path | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
    destination: str | None = None,
    links: Links | None = None,
) -> Outcome:
    """Build or extend the corpus at `root`, and mirror it to the fsspec address `destination`.
    `links`: what another's corpus was told of the sources.

    Raises BadSourceError, RunStopped, CorpusBusyError, ClusterError, RemoteError, ConfigError,
    NotOursError and FileInTheWayError where something of another's is at `root`, and SetupError
    before any work where a chosen backend's library or weights are wanting, or a target photo
    does not show one face.
    """
    placement.check(config)
    metrics.port()  # raises where they are asked for and cannot be told, before a folder is made
    wanted = given(sources).first(limit)
    if links is not None:
        by_address = {r.address: r.request_id for r in wanted.requests}
        wanted = Given(wanted.requests, links.hints(by_address))
    # A cluster's nodes have libraries and folders of their own.
    placement.check_stages(main_job(config), stage_configs(config), here=address is None)
    own_folder.claim(root, "corpus", [*own_folder.fixed_names(), "report.html"]).refuse_strays(
        "manifests/*/part-*.parquet", own_folder.fixed_names()
    )
    work = (work or root / "work").resolve()
    files = WorkFiles(work, f"{destination.rstrip('/')}/work" if destination else None)
    with CorpusLock(work) as lock, Lease(files, lock) as lease:
        if lease.was_elsewhere:
            units = mirror.pull_state(files)
            print(
                f"{destination} was built on by another machine: {units} files of the ledger and "
                f"{mirror.pull(root, files)} of the corpus brought",
                file=sys.stderr,
            )
        staying_out.complete(root, files)
        wanted = staying_out.without(wanted, files.folder)
        known = Given(remember(files, wanted.requests), remember_hints(files, wanted.hints))
        outcome = _run(known, root.resolve(), files, lock, config, address, retry_failed)
        if destination:
            print(f"{mirror.push(root, files)} files sent to {destination}", file=sys.stderr)
            mirror.send_state(files)
        return outcome


def remember(files: WorkFiles, requests: Sequence[Request]) -> list[Request]:
    """All requests ever made of this corpus, the new ones last: building again appends."""
    path = files.folder / "requests.json"
    known = [Request(**r) for r in read_json(path)] if path.exists() else []
    have = {r.request_id for r in known}
    together = known + [r for r in requests if r.request_id not in have]
    files.write("requests.json", json.dumps([vars(r) for r in together], indent=1))
    return together


def remember_hints(files: WorkFiles, hints: Sequence[Hint]) -> list[Hint]:
    """All that corpora ever said of this corpus's requests; what is said anew of a segment counts.

    The file is there only where something was said.
    """
    path = files.folder / HINTS
    known = [decode(Hint, h) for h in read_json(path)] if path.exists() else []
    together = {h.hint_id: h for h in [*known, *hints]}
    if together:
        files.write(HINTS, json.dumps([vars(h) for h in together.values()], indent=1))
    return list(together.values())


def _run(known: Given, root, files, lock, config: BuildConfig, address, retry_failed) -> Outcome:
    started = time.monotonic()
    nodes = main_job(config)
    last = next(node for node in reversed(nodes) if node.stage().reads_media)

    def observe(event, node, item, entries) -> None:
        if (event, node) == ("finished", last) and config.download.keep_sources == "never":
            refetch.drop(files, entries, item.unit)

    with running(
        nodes,
        stage_configs(config),
        config,
        files,
        lock,
        known.requests,
        address=address,
        retry_failed=retry_failed,
        observe=observe,
    ) as runner:
        entries = runner.run(known.requests, known.hints)
    try:
        return _finish(root, files, config, entries, started)
    finally:
        runner.ledger.close()


def _finish(root, files, config, entries, started) -> Outcome:
    from pipeline.build.publish import publish

    rows = status.rows(main_job(config), entries)
    done = publish(root, files, config, entries, rows)
    if config.download.keep_sources != "always":
        refetch.drop(files, entries)
    outcome = Outcome(
        rows,
        len(done.samples),
        status.failure_rate(entries),
        len(status.failed_units(entries)),
        why.commonest(why.of_entries(entries)),
        None,
        len(set(values_of(done.samples, "video_id"))),
        time.monotonic() - started,
        tuple(_notes(files, root, config, entries, rows, len(done.left_out))),
    )
    staying_out.take_out_again(root, files, entries)  # after it the ledger lacks some of them
    if len(done.samples) <= REPORTED_CLIPS:
        return dataclasses.replace(outcome, report=_report(root))
    return outcome


def _report(root: Path) -> Path:
    from manifests.corpus import Corpus
    from pipeline.corpus.report import write_report

    own = own_folder.claim(root, "corpus")
    own.about_to_write(["report.html"])
    report = write_report(Corpus(root))
    own.wrote(["report.html"])
    return report


def _notes(files, root, config, entries, rows, num_between: int) -> Iterator[str]:
    faces = config.shots.faces
    speed = status.speed_line(rows, faces.detector, faces.landmarks)
    if speed and voice.current().is_verbose:  # `yld status --cost` has it too
        yield speed
    if kept := status.note_line(entries):
        yield kept
    fetched = [r.video_id for e in of_kind(entries, Fetched) for r in e.outputs]
    if twice := len(fetched) - len(set(fetched)):
        yield (
            f"{twice} of {len(fetched)} sources have the same bytes as another (table sources); "
            "a video is built once"
        )
    if num_between:
        yield f"{num_between} clips between two splits are left out"
    if failed := why.failed_words(entries, files.corpus_address if files.address else root):
        yield failed
