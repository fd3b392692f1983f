"""A corpus at an fsspec address (s3://, gs://, ...): built in a local folder, then mirrored.

Object stores show a file whole or not at all. Shards go first and `SHA256SUMS` last, so that a
reader who finds the sums finds everything they name; what is already there unchanged is not
sent again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from manifests.files import sha256_of, write_atomic
from manifests.ids import hash_id


class RemoteError(RuntimeError):
    """The address cannot be written; the message names it and the cause."""


def is_remote(address: str) -> bool:
    """Whether `address` names something that is no local folder."""
    return "://" in address and not address.startswith("file://")


def staging_folder(address: str) -> Path:
    """The local folder that stands for a remote corpus: the same address, the same folder."""
    base = Path(os.environ.get("YLD_CACHE", Path.home() / ".cache" / "yld"))
    return base / "corpora" / hash_id(address)


def check(address: str) -> None:
    """Write and delete a probe file before any work. Raises RemoteError."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(address)
        probe = f"{path.rstrip('/')}/.yld-probe"
        system.pipe_file(probe, b"yld")
        system.rm_file(probe)
    except Exception as error:  # every backend raises its own kind
        raise RemoteError(f"{address} cannot be written: {type(error).__name__}: {error}") from None


def push(root: Path, address: str) -> int:
    """Mirror the corpus at `root` to `address`; the number of files sent. Raises RemoteError."""
    import fsspec

    system, path = fsspec.core.url_to_fs(address)
    base = path.rstrip("/")
    record = root / "work" / "pushed.json"
    before = json.loads(record.read_text()) if record.exists() else {}
    names = [str(p.relative_to(root)) for p in sorted(root.rglob("*"))
             if p.is_file() and not str(p.relative_to(root)).startswith("work/")]
    names.sort(key=lambda n: (n == "SHA256SUMS", not n.startswith("shards/"), n))
    now = {name: sha256_of(root / name) for name in names}
    sent = 0
    try:
        for name in names:
            there = before.get(name) == now[name] and system.exists(f"{base}/{name}")
            if not there:
                system.put_file(str(root / name), f"{base}/{name}")
                sent += 1
        for name in set(before) - set(now):
            if system.exists(f"{base}/{name}"):
                system.rm_file(f"{base}/{name}")
    except Exception as error:
        raise RemoteError(f"{address}: {type(error).__name__}: {error}; run the same command "
                          "again, what was sent is kept") from None
    write_atomic(record, json.dumps(now))
    return sent
