"""The other end of `ProcessEngine`: one worker in a process of its own, without Ray.

python -m pipeline.run.engines.worker_process DESCRIPTOR
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any


class AskDriver:
    """The limiter as a stage in this process sees it: the driver answers."""

    QUESTIONS = ("acquire", "blocked", "succeeded")
    _connection: Connection | None = None

    @classmethod
    def by(cls, connection: Connection) -> None:
        cls._connection = connection

    def _ask(self, name: str, *arguments: Any) -> Any:
        assert self._connection is not None, "only workers ask"
        self._connection.send(("ask", (name, arguments)))
        _, answer = self._connection.recv()  # one job at a time: the next message is the answer
        return answer

    def acquire(self, host: str) -> tuple[str, float]:
        return self._ask("acquire", host)

    def blocked(self, host: str, retry_after_s: float | None) -> float:
        return self._ask("blocked", host, retry_after_s)

    def succeeded(self, host: str) -> None:
        self._ask("succeeded", host)


def serve(connection: Connection) -> None:
    """Do what the driver asks, until it closes its end."""
    _, facts = connection.recv()
    from pipeline.run.workers import StageWorker

    worker = StageWorker(facts)
    AskDriver.by(connection)
    connection.send(("up", None))
    while True:
        _, job = connection.recv()
        try:
            message: tuple[str, Any] = ("done", worker.run(job))
        except Exception as error:
            message = ("error", "".join(traceback.format_exception(error))[-2000:])
        connection.send(message)


def main() -> None:
    from pipeline.run.processes import leave

    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts a run interrupts its driver
    try:
        serve(Connection(int(sys.argv[1])))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        leave(0)  # the driver is gone, or wants nothing more


if __name__ == "__main__":
    from pipeline.run.engines import worker_process

    worker_process.main()  # by its name, which is the one that jobs know its classes by
