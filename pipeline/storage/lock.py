"""One writer per corpus: an exclusive lock with a fencing number.

The lock is the operating system's (released when its holder dies, however it dies). Workers
of a killed run can outlive it by seconds; the fencing number rises with every new holder,
and a worker that finds a higher number than its own stops itself before it publishes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from pathlib import Path

from manifests.files import record_temporaries, sweep_temporaries, write_atomic

RECORDS = "writing"
"""Folder below `work` where processes note what they are writing (`manifests/files.py`)."""

LOCK_FILES = ("lock", "fence")
"""Below `work`, of the lock itself."""


class CorpusBusyError(RuntimeError):
    """Another run holds the corpus."""


class CorpusLock:
    """Exclusive right to change the corpus whose work folder is `work`.

    Raises CorpusBusyError, naming the holder, if another live run holds it.
    """

    def __init__(self, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.work = work
        self._file = open(work / "lock", "a+")  # noqa: SIM115 - held until release
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "an unnamed process"
            self._file.close()
            raise CorpusBusyError(
                f"{work.parent} is being built by {holder}. Wait for it, or stop it."
            ) from None
        self._records = work / RECORDS
        sweep_temporaries(self._records)
        record_temporaries(self._records)
        self.fence = read_fence(work) + 1
        write_atomic(work / "fence", json.dumps({"fence": self.fence}))
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def raise_fence(self, least: int) -> None:
        """Make the fencing number at least `least`."""
        if self.fence < least:
            self.fence = least
            write_atomic(self.work / "fence", json.dumps({"fence": self.fence}))

    def release(self) -> None:
        """Give the corpus free; harmless when called twice."""
        if not self._file.closed:
            record_temporaries(None)
            self._sweep()
            self._file.truncate(0)
            self._file.close()

    def _sweep(self, within_s: float = 30.0) -> None:
        """Workers that were ended a moment ago may have been writing; on a machine with much else
        to do it takes them seconds to be gone."""
        deadline = time.monotonic() + within_s
        while sweep_temporaries(self._records) or any(self._records.glob("*")):
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)
        with contextlib.suppress(OSError):
            self._records.rmdir()

    def __enter__(self) -> CorpusLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def read_fence(work: Path) -> int:
    """The newest holder's fencing number; 0 before the first."""
    try:
        return int(json.loads((work / "fence").read_text())["fence"])
    except FileNotFoundError:
        return 0
