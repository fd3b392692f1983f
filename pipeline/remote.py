"""A corpus at an fsspec address (s3://, gs://, ...): built in a local folder, then mirrored.

Object stores show a file whole or not at all. Shards go first and `SHA256SUMS` last, so that a
reader who finds the sums finds everything they name; what is already there unchanged is not
sent again. What a run needs to go on, on this machine or another, lies beside the corpus under
`work` (`pipeline/work_files.py`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests.files import atomic_path, sha256_of, write_atomic
from manifests.ids import hash_id

if TYPE_CHECKING:
    from pipeline.work_files import WorkFiles

RECORD = "pushed.json"
STATE = ("requests.json", "published.json", RECORD)


class RemoteError(RuntimeError):
    """The address cannot be read or written; the message names it and the cause."""


def is_remote(address: str) -> bool:
    """Whether `address` names something that is no local folder."""
    return "://" in address and not address.startswith("file://")


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
    """Write and delete a probe file before any work. Raises RemoteError."""
    try:
        system, base = open_address(address)
        system.pipe_file(f"{base}/.yld-probe", b"yld")
        system.rm_file(f"{base}/.yld-probe")
    except Exception as error:  # every backend raises its own kind
        raise RemoteError(f"{address} cannot be written: {type(error).__name__}: {error}") from None


def push(root: Path, files: WorkFiles) -> int:
    """Mirror the corpus at `root` beside the address of its work files; the number of files sent.

    Raises RemoteError.
    """
    address = files.address.removesuffix("/work")
    before = json.loads(files.read(RECORD) or "{}")
    names = [str(p.relative_to(root)) for p in sorted(root.rglob("*"))
             if p.is_file() and not str(p.relative_to(root)).startswith("work/")]
    names.sort(key=lambda n: (n == "SHA256SUMS", not n.startswith("shards/"), n))
    now = {name: sha256_of(root / name) for name in names}
    sent = 0
    try:
        system, base = open_address(address)
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
    files.write(RECORD, json.dumps(now))
    return sent


def open_corpus(address: str) -> tuple[Path, WorkFiles]:
    """The local folder of the corpus at `address`, as it was last mirrored, and its work files.

    Raises RemoteError, also where no corpus is.
    """
    from pipeline.lease import NAME
    from pipeline.work_files import WorkFiles

    root = staging_folder(address)
    files = WorkFiles(root / "work", f"{address.rstrip('/')}/work")
    lease = files.read(NAME)
    if lease is None:
        raise RemoteError(f"{address} holds no corpus; `yld build SOURCES... --out {address}` "
                          "makes one")
    token, seen = json.loads(lease)["token"], root / "work" / "seen"
    if not seen.exists() or seen.read_text() != token:
        pull(root, files)
        write_atomic(seen, token)
    return root, files


def differences(root: Path, files: WorkFiles) -> list[dict[str, str]]:
    """What is mirrored otherwise than it is in `root`, as rows of `where` and `problem`."""
    system, base = open_address(files.address.removesuffix("/work"))
    found = []
    for name in json.loads(files.read(RECORD) or "{}"):
        try:
            size = system.info(f"{base}/{name}")["size"]
        except FileNotFoundError:
            found.append({"where": name, "problem": "is not at the address; build again"})
            continue
        if not (root / name).exists() or (root / name).stat().st_size != size:
            found.append({"where": name, "problem": f"has {size} bytes at the address and others "
                          "here; build again"})
    return found


def pull_state(files: WorkFiles) -> int:
    """Bring what a run goes on from and this machine lacks; the number of finished units brought.

    Raises RemoteError.
    """
    from concurrent.futures import ThreadPoolExecutor

    for name in STATE:
        (files.folder / name).unlink(missing_ok=True)
    files.bring(STATE)
    missing = [n for n in files.listed("ledger") if not (files.folder / n).exists()]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda name: files.bring([name]), missing))
    return len(missing)


def pull(root: Path, files: WorkFiles) -> int:
    """Make `root` what was last mirrored; the number of files brought. Raises RemoteError."""
    address = files.address.removesuffix("/work")
    wanted = json.loads(files.read(RECORD) or "{}")
    brought = 0
    try:
        system, base = open_address(address)
        for name, digest in wanted.items():
            path = root / name
            if ".." in Path(name).parts or Path(name).is_absolute():
                raise RemoteError(f"{address} lists {name!r}, which is no name of a corpus file")
            if not path.exists() or sha256_of(path) != digest:
                with atomic_path(path) as temporary:
                    system.get_file(f"{base}/{name}", str(temporary))
                brought += 1
    except RemoteError:
        raise
    except Exception as error:
        raise RemoteError(f"{address}: {type(error).__name__}: {error}") from None
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_file() and name not in wanted and not name.startswith("work/"):
            path.unlink()
    return brought
