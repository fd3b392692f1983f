"""A corpus at an fsspec address (s3://, gs://, ...): whose it is, and whether it can be written."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from manifests.address import is_remote as is_remote
from manifests.address import local_path as local_path
from manifests.address import open_address
from manifests.ids import hash_id
from pipeline.storage.own_folder import MARK, NotOursError


class RemoteError(RuntimeError):
    """The address cannot be read or written; the message names it and the cause."""


def staging_folder(address: str) -> Path:
    """The local folder that stands for a remote corpus: the same address, the same folder."""
    base = Path(os.environ.get("YLD_CACHE", Path.home() / ".cache" / "yld"))
    return base / "corpora" / hash_id(address.rstrip("/"))


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
