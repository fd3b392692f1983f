"""A run's own folder for what must not outlive it: Ray's session and all temporary files.

It lies in the system's folder for temporary files and is held by an operating system's lock, so
that the next run on the machine sees which ones nobody holds any more and removes those. Only a
folder with our own mark in it, of this user, is ever removed.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO

PREFIX, OWNER = "yld-run-", "owner"
TEXT = "Scratch of a run of yld; it goes with the run, or with the next one on this machine.\n"
RAY_PATH_MOST = 22
"""Bytes of the folder that a session lies in: the longest name of Ray's sockets below it takes 85
of the 107 that the system allows."""
_current: Scratch | None = None


class Scratch:
    """Made and held from construction on; forked processes hold it too, others do not."""

    def __init__(self, base: Path | None = None) -> None:
        base = base or Path(tempfile.gettempdir())
        sweep(base)
        self.mark = secrets.token_hex(8)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base)).resolve()
        self._file = _held_file(self.path)
        (self.path / "tmp").mkdir()
        self._ray: Scratch | None = None
        self._pid = os.getpid()

    @property
    def ray_folder(self) -> str | None:
        """Where Ray's session goes; None where all places have too long a name for sockets."""
        if len(os.fsencode(self.path.parent)) <= RAY_PATH_MOST:
            return str(self.path / "ray")
        if self._ray is None and os.access("/tmp", os.W_OK):
            self._ray = Scratch(Path("/tmp"))
        return None if self._ray is None else str(self._ray.path / "ray")

    def use(self) -> None:
        """Temporary files of this process and of all it starts go here from now on."""
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.path / "tmp")

    def remove(self) -> None:
        """Remove it with all that is in it; harmless when called twice."""
        if self._ray is not None:
            self._ray.remove()
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._file.close()


def _held_file(folder: Path) -> IO[str]:
    """The mark, locked before it has its name: who sees it sees that it is held."""
    file = open(folder / f"{OWNER}.new", "w")  # noqa: SIM115 - held until removal
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write(f"{TEXT}process {os.getpid()}\n")
    file.flush()
    os.rename(folder / f"{OWNER}.new", folder / OWNER)
    return file


def sweep(base: Path) -> int:
    """Remove the folders of runs that ended without doing so; their number."""
    swept = 0
    for path in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            facts = path.lstat()
            if path.is_symlink() or not path.is_dir() or facts.st_uid != os.getuid():
                continue
            with open(path / OWNER) as file:
                if file.readline() != TEXT:
                    continue
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
                swept += 1
    return swept


def hold(scratch: Scratch) -> Scratch:
    """Make `scratch` this process's (and what is forked from it)."""
    global _current
    _current = scratch
    scratch.use()
    return scratch


def current() -> Scratch:
    """This process's scratch folder, made now if there is none and removed as it exits."""
    global _current
    if _current is None or not _current.path.is_dir():
        _current = hold(Scratch(_outer_base()))
        atexit.register(_leave, _current, os.getpid())
    return _current


def _leave(scratch: Scratch, pid: int) -> None:
    if os.getpid() == pid:
        scratch.remove()


def _outer_base() -> Path | None:
    """The folder for temporary files, not one inside another run's scratch that is gone."""
    base = Path(tempfile.gettempdir())
    return base if base.is_dir() else Path("/tmp")
