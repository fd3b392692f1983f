"""One writer per corpus across machines, where no file system that they share can hold a lock.

Object stores have no locks. The holder writes who it is and until when into `work/lease.json` and
renews that while it works; who finds an unexpired lease keeps out, and who finds that another
wrote over its own stops. The machines' clocks must agree within a minute. A holder that was
killed on this very machine is known to be dead at once, another one's lease runs out by itself.
"""

from __future__ import annotations

import _thread
import json
import os
import secrets
import socket
import sys
import threading
import time

import psutil

from pipeline.storage.address import RemoteError
from pipeline.storage.lock import CorpusBusyError, CorpusLock
from pipeline.storage.work_files import WorkFiles

NAME = "lease.json"
HELD_S, RENEW_S, SETTLE_S = 120.0, 20.0, 1.0


class Lease:
    """Held from construction to `release`, beside the local `lock`, whose fence it raises.

    `was_elsewhere` tells whether another machine has written since this one last did. Raises
    CorpusBusyError naming the holder.
    """

    def __init__(self, files: WorkFiles, lock: CorpusLock) -> None:
        self._files, self._done = files, threading.Event()
        self.was_elsewhere = False
        if files.address is None:
            return
        there = json.loads(files.read(NAME) or "null")
        mine = files.folder / NAME
        last = json.loads(mine.read_text()) if mine.exists() else None
        if there is not None:
            self._refuse_if_held(there)
            lock.raise_fence(there["fence"] + 1)
            self.was_elsewhere = last is None or last["token"] != there["token"]
        self._facts = {
            "fence": lock.fence,
            "token": secrets.token_hex(8),
            "host": socket.gethostname(),
            "process": os.getpid(),
        }
        self._write(time.time() + HELD_S)
        time.sleep(SETTLE_S)
        self._refuse_if_taken()
        threading.Thread(target=self._renew, daemon=True).start()

    def _refuse_if_held(self, there: dict) -> None:
        if there["until"] < time.time():
            return
        is_here = there["host"] == socket.gethostname()
        if is_here and not psutil.pid_exists(there["process"]):
            return
        raise CorpusBusyError(
            f"{self._files.corpus_address} is being built by process "
            f"{there['process']} on {there['host']}. Wait for it, or stop it; if it was killed, "
            f"its claim ends in {there['until'] - time.time():.0f} s."
        )

    def _refuse_if_taken(self) -> None:
        there = json.loads(self._files.read(NAME) or "null")
        if there is None or there["token"] != self._facts["token"]:
            raise CorpusBusyError(
                f"another run took {self._files.corpus_address} over: {there and there['host']}"
            )

    def _write(self, until: float) -> None:
        self._files.write(NAME, json.dumps({**self._facts, "until": until}))

    def _renew(self) -> None:
        while not self._done.wait(RENEW_S):
            try:
                self._refuse_if_taken()
                self._write(time.time() + HELD_S)
            except RemoteError:
                continue  # what the run itself sends will tell
            except CorpusBusyError as error:
                print(f"yld: {error}", file=sys.stderr)
                _thread.interrupt_main()
                return

    def release(self) -> None:
        """Let the next run begin at once."""
        if self._files.address is not None and not self._done.is_set():
            self._done.set()
            self._write(0.0)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_fenced(files: WorkFiles, fence: int) -> bool:
    """Whether a newer run than that of `fence` holds the corpus at the files' address."""
    there = json.loads(files.read(NAME) or "null") if files.address is not None else None
    return there is not None and there["fence"] > fence
