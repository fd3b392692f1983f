"""A build in this process: the runner, the stages and the publishing as they are, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.build.job import remember, remember_hints
from pipeline.build.publish import publish
from pipeline.config.build_config import BuildConfig, stage_configs
from pipeline.graph import MAIN_JOB
from pipeline.run import status
from pipeline.run.ledger import Entry, Ledger
from pipeline.run.pools import Ended, Running
from pipeline.run.scheduler import Runner
from pipeline.run.stage_runner import Job, StageRunner
from pipeline.run.unit import Policy
from pipeline.storage.own_folder import claim
from pipeline.storage.work_files import WorkFiles
from stages.sources.arguments import given


class InProcess:
    """Pools (`pipeline.run.pools`) that do each job at once, here."""

    def __init__(self, work: Path) -> None:
        self._runner, self._ended = StageRunner(work), []

    @property
    def num_running(self) -> int:
        return len(self._ended)

    def has_room(self, pool: str, alone: bool = False) -> bool:
        return not self._ended

    def running_jobs(self) -> list[Job]:
        return [ended.running.job for ended in self._ended]

    def start(self, pool: str, job: Job, timeout_s: float, alone: bool = False) -> None:
        done = self._runner.run(job)
        self._ended.append(Ended(Running(job, None, timeout_s, 0.0), done))

    def wait(self, seconds: float) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended


def build_here(
    sources: list[str], root: Path, config: BuildConfig
) -> dict[str, dict[str, Entry]]:
    """Build the corpus at `root`; the finished units by stage."""
    claim(root, "corpus")
    found, files = given(sources), WorkFiles((root / "work").resolve())
    requests = remember(files, found.requests)
    hints = remember_hints(files, found.hints)
    configs: dict[str, Any] = stage_configs(config)
    runner = Runner(
        MAIN_JOB, configs, files, Ledger(files.folder / "ledger"), InProcess(files.folder), Policy()
    )
    entries = runner.run(requests, hints)
    publish(root, files, config, entries, status.rows(MAIN_JOB, entries))
    return entries
