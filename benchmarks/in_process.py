"""The per-video stages of a build in this process, one after another: one worker, and no Ray.

The stages, their settings and their accounts are those of a build (`pipeline.run.stage_runner`);
only who calls them is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.paths import as_text
from manifests.records import Fetched, record_id
from manifests.threads import one_thread
from pipeline.config.build_config import BuildConfig, stage_configs
from pipeline.graph import context_name, main_job
from pipeline.run.stage_runner import Job, StageRunner


@dataclass
class Ran:
    """What came of one file. Records and rejects by stage, CPU-seconds by stage."""

    path: Path
    records: dict[str, list[Any]] = field(default_factory=dict)
    rejects: dict[str, list[Any]] = field(default_factory=dict)
    failures: list[Any] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=dict)
    decoded_s: dict[str, float] = field(default_factory=dict)

    @property
    def video_s(self) -> float:
        """Seconds of the video; 0 where the probe refused it."""
        return sum(v.duration_us for v in self.records.get("probe", [])) / 1e6


_JOB = main_job(BuildConfig())
NODES = _JOB[[node.name for node in _JOB].index("probe") :]


def run_files(paths: Iterable[Path], work: Path, config: BuildConfig) -> Iterator[Ran]:
    """Each file through all stages, as it is asked for. Their set-up is no part of what is
    measured, but what a library loads at its first use is: give a file more at the beginning."""
    one_thread()
    runner = StageRunner(work)
    configs = stage_configs(config)
    for number, path in enumerate(paths):
        yield _run_file(path, f"v{number:04d}", runner, configs)


def _run_file(path: Path, unit: str, runner: StageRunner, configs: dict[str, Any]) -> Ran:
    ran = Ran(path)
    content = path.read_bytes()
    records: list[Any] = [
        Fetched(
            source_id=unit,
            video_id=unit,
            media_path=as_text(path.resolve()),
            sha256=hashlib.sha256(content).hexdigest(),
            num_bytes=len(content),
            address=as_text(path),
            kind="file",
            requested_as=as_text(path),
        )
    ]
    earlier: dict[str, Any] = {}
    for node in NODES:
        if not records:
            break
        # What other inputs bring (a corpus with faces of its own) is absent here.
        given = {name: earlier[name] for name in node.context if name in earlier}
        job = Job(
            node.name,
            node.target,
            configs[node.name],
            unit,
            key=unit,
            side_name=unit,
            records=records,
            memory_gb=0.0,
            earlier=given,
        )
        done = runner.run(job)
        if done.stop_run:
            raise SystemExit(done.stop_run)
        ran.cpu_s[node.name], ran.decoded_s[node.name] = done.cpu_s, done.decoded_s
        records = [r for result in done.results for r in result.records or []]
        ran.records[node.name] = records
        ran.rejects[node.name] = [r.reject for r in done.results if r.reject is not None]
        ran.failures += [r.failure for r in done.results if r.failure is not None]
        if name := context_name(node):
            by_id = {record_id(record): record for record in records}
            earlier[name] = records[0] if name == "video" and records else by_id
    return ran
