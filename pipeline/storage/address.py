"""A corpus's fsspec address (s3://, gs://, ...): whether it is one, whose it is, how it opens."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from manifests.ids import hash_id
from pipeline.storage.own_folder import MARK, NotOursError


class RemoteError(RuntimeError):
    """The address cannot be read or written; the message names it and the cause."""


def is_remote(address: str) -> bool:
    """Whether `address` names something that is no local folder."""
    return "://" in address and not address.startswith("file://")


def local_path(address: str) -> Path:
    """The folder that `address` names, which is a path or a `file://` address."""
    if not address.startswith("file://"):
        return Path(address)
    return Path(url2pathname(urlsplit(address).path))


def staging_folder(address: str) -> Path:
    """The local folder that stands for a remote corpus: the same address, the same folder."""
    base = Path(os.environ.get("YLD_CACHE", Path.home() / ".cache" / "yld"))
    return base / "corpora" / hash_id(address.rstrip("/"))


def open_address(address: str) -> tuple[Any, str]:
    """The file system of `address` and the path in it, without a final slash.

    Listings are not cached: other nodes write there too.
    """
    import fsspec

    system, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    return system, path.rstrip("/")


def check(address: str) -> None:
    """Write and delete a probe file before any work. Raises RemoteError, and NotOursError for an
    address that holds files and was not made by `yld build`."""
    try:
        system, base = open_address(address)
        if (foreign := _first_foreign(system, base)) is not None:
            raise NotOursError(
                f"{address} is not empty and was not made by `yld build` (it holds {foreign!r} and "
                f"no {MARK}); nothing at it was touched. Name another address, say "
                f"{address.rstrip('/')}/corpus"
            )
        probe = f"{base}/.yld-probe-{secrets.token_hex(8)}"
        system.pipe_file(probe, b"yld")
        system.rm_file(probe)
    except NotOursError:
        raise
    except Exception as error:  # every backend raises its own kind
        raise RemoteError(f"{address} cannot be written: {type(error).__name__}: {error}") from None


def _first_foreign(system: Any, base: str) -> str | None:
    """A name at an address without our mark; None where it is ours or empty."""
    try:
        there = [
            str(e["name"]).rstrip("/")
            for e in system.ls(base, detail=True)
            if str(e["name"]).rstrip("/") != base.rstrip("/")
        ]
    except FileNotFoundError:
        return None
    if not there or any(system.exists(f"{base}/{name}") for name in (MARK, "work/lease.json")):
        return None
    return min(there).rpartition("/")[2]
