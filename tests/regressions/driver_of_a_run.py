"""A small run of the real runner, as a program below the supervisor: FOLDER ADDRESS..."""

from __future__ import annotations

import sys
from pathlib import Path

from manifests.records import Request, Source
from pipeline.commands.options import friendly
from pipeline.config.build_config import BuildConfig
from pipeline.graph import Node
from pipeline.run import supervisor
from pipeline.run.session import running
from pipeline.storage.lock import CorpusLock
from pipeline.storage.work_files import WorkFiles
from tests.pipeline.poison_stages import EchoConfig

NODES = (Node("echo", "tests.pipeline.poison_stages:Echo", Request, Source, "request_id"),)


@friendly
def main() -> None:
    """Run the echo stage over the addresses and print what came of each."""
    work = Path(sys.argv[1])
    requests = [Request(f"r{i}", address, "file", "test") for i, address in enumerate(sys.argv[2:])]
    with (
        CorpusLock(work) as lock,
        running(
            NODES, {"echo": EchoConfig()}, BuildConfig(), WorkFiles(work), lock, requests
        ) as runner,
    ):
        entries = runner.run(requests)["echo"]
    print(
        sorted(
            (r.item_id, r.failure.reason if r.failure else "ok")
            for e in entries.values()
            for r in e.results
        )
    )


if __name__ == "__main__":
    supervisor.run(main)
