"""The files below a corpus's `work` folder, as every node of a cluster comes by them.

In a folder that all nodes share there is nothing to do. With an fsspec address each node has a
folder of its own (`address.staging_folder`): before a job it brings what the job reads, after it
it sends what the job wrote, and only then is the job done. Names of side files hold a hash of all
that their content depends on, so a name that is there need not be compared; media, which may be
fetched twice, is compared by size.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from manifests.files import atomic_path, encoded, write_atomic
from manifests.records import Role, files_of
from pipeline.storage.address import RemoteError, open_address, staging_folder
from stages.base import Stage

T = TypeVar("T")
RETRY_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
AT_A_TIME = 16
"""Files that are brought at a time."""
FEW = 50
"""Files of which each is asked for by itself."""
KEEP_S = 3600.0
"""A file used within this time is never dropped from a node's folder."""


@dataclass
class WorkFiles:
    """`folder` is `work` on this node; `address` is `{corpus}/work`, None where all share `folder`.

    Methods that talk to the address try again for some seconds and raise RemoteError then, which
    stops the run: what is done stays done.
    """

    folder: Path
    address: str | None = None
    _later: list[Future] = field(default_factory=list, repr=False)
    _threads: ThreadPoolExecutor | None = field(default=None, repr=False)
    _seen: dict[str, dict[str, int]] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "address": self.address,
            "_later": [],
            "_threads": None,
            "_seen": {},
        }

    @property
    def corpus_name(self) -> str | None:
        """The last part of the corpus's address; None without an address."""
        return None if self.address is None else PurePosixPath(self.address).parent.name

    @property
    def corpus_address(self) -> str:
        """The fsspec address of the corpus. Raises ValueError without one."""
        if self.address is None:
            raise ValueError(f"{self.folder} is shared by all nodes and has no address")
        return self.address.removesuffix("/work")

    def on_this_node(self) -> WorkFiles:
        """The same files seen from the node this is called on."""
        if self.address is None:
            return self
        return WorkFiles(staging_folder(self.corpus_address) / "work", self.address)

    def bring(self, names: Iterable[str]) -> None:
        """Have the files called `names` in `folder`, many at a time; one that is nowhere is left
        out."""
        if self.address is None:
            return
        lacking = []
        for name in names:
            path = self.folder / _safe(name)
            if path.exists():
                os.utime(path)
            else:
                lacking.append(name)
        if len(lacking) < 2:
            list(map(self._bring_one, lacking))
            return
        with ThreadPoolExecutor(min(AT_A_TIME, len(lacking))) as threads:
            list(threads.map(self._bring_one, lacking))

    def _bring_one(self, name: str) -> None:
        with suppress(FileNotFoundError), atomic_path(self.folder / name) as temporary:
            self._do(partial(_get, name, temporary))

    def send(self, names: Iterable[str]) -> None:
        """Have the files called `names`, which are in `folder`, at the address."""
        if self.address is None:
            return
        for name in names:
            path = self.folder / _safe(name)
            if path.exists() and self._size_there(name) != path.stat().st_size:
                self._do(partial(_put, name, path))

    def write(self, name: str, content: str) -> None:
        """Write a small file here and there, whatever was in it."""
        write_atomic(self.folder / _safe(name), content)
        if self.address is not None:
            self._do(lambda s, base: s.pipe_file(f"{base}/{name}", encoded(content)))

    def send_later(self, name: str, content: bytes) -> Future[None]:
        """Have a file with `content` at the address alone, some time; `flush` waits for it. Raises
        what an earlier one ran into."""
        self._threads = self._threads or ThreadPoolExecutor(4)
        self._later = [f for f in self._later if not (f.done() and f.exception() is None)]
        for future in self._later:
            if future.done():
                future.result()
        sent = self._threads.submit(
            self._do, lambda s, base: s.pipe_file(f"{base}/{_safe(name)}", content)
        )
        self._later.append(sent)
        return sent

    def flush(self) -> None:
        """Wait for all that `send_later` began. Raises RemoteError."""
        later, self._later = self._later, []
        for future in later:
            future.result()

    def read(self, name: str) -> str | None:
        """The small file `name` as it is at the address (in `folder` if there is none)."""
        with suppress(FileNotFoundError):
            if self.address is None:
                return (self.folder / _safe(name)).read_text(encoding="utf-8")
            return self._do(lambda s, base: s.cat_file(f"{base}/{name}")).decode()
        return None

    def size(self, name: str) -> int | None:
        """Bytes of the file `name`; None if it is nowhere."""
        path = self.folder / _safe(name)
        if path.exists():
            return path.stat().st_size
        return None if self.address is None else self._size_there(name)

    def earlier_size(self, name: str) -> int | None:
        """As `size`, of a file that an earlier run made: a folder at the address is looked through
        once, and stands then as it was."""
        path = self.folder / _safe(name)
        if path.exists():
            return path.stat().st_size
        if self.address is None:
            return None
        folder = PurePosixPath(name).parts[0]
        if folder not in self._seen:
            self._seen[folder] = self.look_through(folder)
        return self._seen[folder].get(name)

    def sizes_of(self, names: Sequence[str]) -> array[int]:
        """Bytes of files, in their order, 0 of those that are nowhere: of many that are not here
        the folder at the address is listed once."""
        sizes, lacking, base = array("q"), array("q"), f"{self.folder}/"
        for place, name in enumerate(names):
            try:
                sizes.append(os.stat(base + _safe(name)).st_size)
            except OSError:
                sizes.append(0)
                lacking.append(place)
        if self.address is None:
            return sizes
        there: dict[str, int] = {}
        if len(lacking) > FEW:
            for folder in {PurePosixPath(names[place]).parts[0] for place in lacking}:
                there |= self.look_through(folder)
        for place in lacking:
            name = names[place]
            size = there[name] if name in there else self._size_there(name)
            sizes[place] = size or 0
        return sizes

    def look_through(self, folder: str) -> dict[str, int]:
        """Names and bytes of all files below a folder at the address, some thousands a request."""
        with suppress(FileNotFoundError):
            found = self._do(partial(_found, folder))
            base = open_address(f"{self.corpus_address}/work")[1]
            return {str(p).removeprefix(f"{base}/"): int(f["size"]) for p, f in found.items()}
        return {}

    def drop(self, names: Iterable[str]) -> None:
        """Delete files here and at the address; what is not there is no fault."""
        for name in names:
            (self.folder / _safe(name)).unlink(missing_ok=True)
            if self.address is not None:
                with suppress(FileNotFoundError):
                    self._do(partial(_remove, name))

    def listed(self, below: str) -> list[str]:
        """Names of all files at the address under `below`; empty without an address."""
        if self.address is None:
            return []
        with suppress(FileNotFoundError):
            found = self._do(lambda s, base: s.find(f"{base}/{below}"))
            base = open_address(self.address)[1]
            return [str(path).removeprefix(f"{base}/") for path in found]
        return []

    def trim(self, max_gb: float, folders: Sequence[str]) -> int:
        """Keep a node's folder small: drop what was longest unused. Returns the bytes dropped."""
        if self.address is None:
            return 0
        found = []
        for path in (p for name in folders for p in (self.folder / name).glob("*")):
            with suppress(FileNotFoundError):
                facts = path.stat()
                found.append((facts.st_mtime, facts.st_size, path))
        dropped, excess = 0, sum(size for _, size, _ in found) - int(max_gb * 1e9)
        for used_at, size, path in sorted(found):
            if dropped >= excess or used_at > time.time() - KEEP_S:
                break
            name = str(path.relative_to(self.folder))
            if self._size_there(name) != size:
                continue  # no copy of what is at the address: not brought or sent by us
            path.unlink(missing_ok=True)
            dropped += size
        return dropped

    def _size_there(self, name: str) -> int | None:
        with suppress(FileNotFoundError):
            return self._do(lambda s, base: s.info(f"{base}/{name}"))["size"]
        return None

    def _do(self, action: Callable[[Any, str], T]) -> T:
        system, base = open_address(f"{self.corpus_address}/work")
        for pause_s in (*RETRY_PAUSES_S, None):
            try:
                return action(system, base)
            except FileNotFoundError:
                raise
            except Exception as error:  # every backend raises its own kinds
                if pause_s is None or _is_refusal(error):
                    raise RemoteError(
                        f"{self.address}: {type(error).__name__}: {error}. Look at the address and "
                        "its credentials; the same command goes on from what was done"
                    ) from None
                time.sleep(pause_s)
        raise AssertionError("unreachable")


def _found(folder: str, system: Any, base: str) -> dict[str, Any]:
    """A listing that is neither an old one nor kept for later questions: others write there too."""
    system.invalidate_cache()
    try:
        return system.find(f"{base}/{folder}", detail=True)
    finally:
        system.invalidate_cache()


def _get(name: str, path: Path, system: Any, base: str) -> None:
    system.get_file(f"{base}/{name}", str(path))


def _put(name: str, path: Path, system: Any, base: str) -> None:
    system.put_file(str(path), f"{base}/{name}")


def _remove(name: str, system: Any, base: str) -> None:
    system.rm_file(f"{base}/{name}")


def _is_refusal(error: Exception) -> bool:
    """Whether trying again cannot help: no right, or no credentials."""
    return isinstance(error, PermissionError) or "Credential" in type(error).__name__


def read_by(stage: type[Stage], unit: str, records: Iterable[Any]) -> list[str]:
    """Names of the work files that a job reads; `records` are its own and those it is given of
    earlier stages. Captions are read by `publish`, which brings them itself."""
    if stage.fetches_media:
        return [_facts_name(stage, unit)]
    roles: tuple[Role, ...] = ("side_file", "media") if stage.reads_media else ("side_file",)
    names = _relative(name for record in records for name in files_of(record, *roles))
    folders = stage.reads_side_folders
    return names if folders is None else [n for n in names if PurePosixPath(n).parts[0] in folders]


def written_by(stage: type[Stage], unit: str, outputs: Iterable[Any]) -> list[str]:
    """Names of the work files that a job wrote."""
    roles: tuple[Role, ...] = ("side_file",)
    if stage.fetches_media:
        roles = ("side_file", "media", "kept_file")
    names = _relative(name for record in outputs for name in files_of(record, *roles))
    return [*([_facts_name(stage, unit)] if stage.fetches_media else []), *names]


def _facts_name(stage: type[Stage], unit: str) -> str:
    return f"{stage.side_folder}/{unit}.json"


def _relative(names: Iterable[str]) -> list[str]:
    """Files of the user's own have absolute paths and stay where they are."""
    return list(dict.fromkeys(n for n in names if not PurePosixPath(n).is_absolute()))


def _safe(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise ValueError(f"{name!r} is no name of a work file")
    return name
