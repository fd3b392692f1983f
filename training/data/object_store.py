"""Files at an fsspec address: listed, and read by ranges, in any process, again where it fails.

An `ObjectStore` is sent to other processes as its address; each opens connections of its own, also
one that was forked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from manifests.address import open_address
from manifests.plain_words import sentence
from manifests.shards import ShardError
from manifests.spans import NotThereError

T = TypeVar("T")
RETRY_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
VERSIONS = (
    *("ETag", "etag", "md5Hash", "generation", "content_md5"),
    *("mtime", "LastModified", "last_modified", "updated", "created"),
)
"""What file systems call that which changes when a file does; the first that is known counts."""
ADVICE = "look at the address, its credentials (docs/training.md) and the network"


@dataclass(frozen=True)
class StoredFile:
    """What a listing says of a file."""

    num_bytes: int
    version: str
    """Another text for other content, as far as the store tells."""


class ObjectStore:
    """Reads below an address, without a final slash. Raises ShardError naming what was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._opened: tuple[int, Any, str] | None = None
        self._inherited: list[object] = []

    def __reduce__(self) -> tuple[type[ObjectStore], tuple[str]]:
        return ObjectStore, (self.address,)

    def listed(self, folder: str) -> tuple[dict[str, StoredFile], list[str]]:
        """Files in a folder by name below the address, and the names of its folders. None of
        either where it is not there."""
        try:
            entries = self._done(folder, _below)
        except FileNotFoundError:
            return {}, []
        files, folders, before = {}, [], f"{folder}/" if folder else ""
        for entry in entries:
            name = str(entry["name"]).rstrip("/").rpartition("/")[2]
            if entry["type"] == "directory":
                folders.append(name)
            else:
                size = int(entry["size"] or 0)
                files[before + name] = StoredFile(size, f"{size} {_version(entry)}")
        return files, sorted(folders)

    def range(self, name: str, first: int, end: int) -> bytes:
        """Bytes of a file. Raises NotThereError where it has not so many."""
        if end <= first:
            return b""
        try:
            content = self._done(
                name, lambda system, path: system.cat_file(path, start=first, end=end)
            )
        except FileNotFoundError:
            raise ShardError(
                f"{self.address}/{name} is no longer there; put it back, or start again without it"
            ) from None
        if len(content) != end - first:
            raise NotThereError
        return content

    def _done(self, name: str, action: Callable[[Any, str], T]) -> T:
        for pause_s in (*RETRY_PAUSES_S, None):
            try:
                system, base = self._system()
                return action(system, f"{base}/{name}" if name else base)
            except FileNotFoundError:
                raise
            except Exception as error:  # every backend raises its own kinds
                if pause_s is None or _is_refusal(error):
                    where = f"{self.address}/{name}".rstrip("/")
                    raise ShardError(
                        f"{where} cannot be read: {type(error).__name__}: {sentence(error)}; "
                        f"{ADVICE}"
                    ) from None
                time.sleep(pause_s)
        raise AssertionError("unreachable")

    def _system(self) -> tuple[Any, str]:
        if self._opened is None or self._opened[0] != os.getpid():
            # What was opened before a fork is the parent's: it is neither used nor, by losing its
            # last reference, closed.
            if self._opened is not None:
                self._inherited.append(self._opened)
            self._opened = (os.getpid(), *open_address(self.address))
        return self._opened[1:]


def _below(system: Any, path: str) -> list[dict[str, Any]]:
    """What is in a folder; some stores have an object that stands for the folder itself."""
    entries = system.ls(path, detail=True)
    return [entry for entry in entries if str(entry["name"]).strip("/") != path.strip("/")]


def _version(entry: dict[str, Any]) -> str:
    return next((str(entry[name]) for name in VERSIONS if entry.get(name)), "")


def _is_refusal(error: Exception) -> bool:
    """Whether trying again cannot help: no right, no credentials, no such protocol."""
    kinds = (PermissionError, ImportError, ValueError)
    return isinstance(error, kinds) or "Credential" in type(error).__name__
