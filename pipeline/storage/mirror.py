"""A corpus at an fsspec address (s3://, gs://, ...): built in a local folder, then mirrored.

Object stores show a file whole or not at all. Shards go first and `SHA256SUMS` last, so that a
reader who finds the sums finds everything they name; what is already there unchanged is not
sent again. What a run needs to go on, on this machine or another, lies beside the corpus under
`work` (`pipeline/storage/work_files.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from manifests.files import atomic_path, sha256_of, write_atomic
from pipeline.storage.address import RemoteError, open_address, staging_folder
from pipeline.storage.lease import NAME
from pipeline.storage.own_folder import MARK, FileInTheWayError, claim
from pipeline.storage.removed import NAME as REMOVED
from pipeline.storage.work_files import WorkFiles

RECORD = "pushed.json"
STATE = ("requests.json", "hints.json", "published.json", REMOVED, RECORD)


def push(root: Path, files: WorkFiles) -> int:
    """Mirror what yld wrote to `root` beside the address of its work files; the number of files
    sent. Only what an earlier push recorded is written over or removed there.

    Raises RemoteError, and FileInTheWayError before anything is sent.
    """
    address = files.corpus_address
    before = json.loads(files.read(RECORD) or "{}")
    own = claim(root, "corpus")
    names = [name for name in own.files if (root / name).is_file()]
    names.sort(key=lambda n: (n == "SHA256SUMS", not n.startswith("shards/"), n))
    now = {name: own.digests.of(name) for name in names}
    sent = 0
    try:
        system, base = open_address(address)
        lying = _names_at(system, base)
        foreign = [n for n in names if n not in before and n in lying]
        if foreign:
            raise FileInTheWayError(
                f"yld did not write what lies at {address} where it would write: "
                f"{', '.join(foreign[:20])}. Nothing was sent; move it away and run again"
            )
        system.pipe_file(f"{base}/{MARK}", json.dumps({"format": 1, "kind": "corpus"}).encode())
        # Named before they are sent: a run that dies between leaves nothing that looks foreign.
        files.write(RECORD, json.dumps({**dict.fromkeys(now), **before}))
        for name in names:
            if before.get(name) != now[name] or name not in lying:
                system.put_file(str(root / name), f"{base}/{name}")
                sent += 1
        for name in set(before) - set(now):
            if name in lying:
                system.rm_file(f"{base}/{name}")
    except FileInTheWayError:
        raise
    except Exception as error:
        raise RemoteError(
            f"{address}: {type(error).__name__}: {error}; run the same command "
            "again, what was sent is kept"
        ) from None
    files.write(RECORD, json.dumps(now))
    return sent


def _names_at(system: Any, base: str) -> set[str]:
    """Names of the corpus's files there: what lies beside `work`, some thousands a request."""
    system.invalidate_cache()
    try:
        tops = system.ls(base, detail=True)
    except FileNotFoundError:
        return set()
    found: set[str] = set()
    for top in tops:
        name = str(top["name"]).rstrip("/")
        if top["type"] != "directory":
            found.add(name)
        elif name != f"{base}/work":
            found.update(map(str, system.find(name)))
    return {name.removeprefix(f"{base}/") for name in found}


def open_corpus(address: str) -> tuple[Path, WorkFiles]:
    """The local folder of the corpus at `address`, as it was last mirrored, and its work files.

    Raises RemoteError, also where no corpus is.
    """
    root = staging_folder(address)
    files = WorkFiles(root / "work", f"{address.rstrip('/')}/work")
    lease = files.read(NAME)
    if lease is None:
        raise RemoteError(
            f"{address} holds no corpus; `yld build SOURCES... --out {address}` makes one"
        )
    token, seen = json.loads(lease)["token"], root / "work" / "seen"
    if not seen.exists() or seen.read_text() != token:
        pull(root, files)
        write_atomic(seen, token)
    return root, files


def differences(root: Path, files: WorkFiles) -> list[dict[str, str]]:
    """What is mirrored otherwise than it is in `root`, as rows of `where` and `problem`."""
    system, base = open_address(files.corpus_address)
    found = []
    for name, digest in json.loads(files.read(RECORD) or "{}").items():
        if digest is None:
            continue
        try:
            size = system.info(f"{base}/{name}")["size"]
        except FileNotFoundError:
            found.append({"where": name, "problem": "is not at the address; build again"})
            continue
        if not (root / name).exists() or (root / name).stat().st_size != size:
            found.append(
                {
                    "where": name,
                    "problem": f"has {size} bytes at the address and others here; build again",
                }
            )
    return found


def pull_state(files: WorkFiles) -> int:
    """Bring what a run goes on from and this machine lacks; the number of the ledger's files
    brought: batches of finished units, or of older releases one each.

    Raises RemoteError.
    """
    for name in [*parts_of_published(files.folder), *STATE]:
        (files.folder / name).unlink(missing_ok=True)
    files.bring(STATE)
    files.bring(parts_of_published(files.folder))
    missing = [n for n in files.listed("ledger") if not (files.folder / n).exists()]
    files.bring(missing)
    return len(missing)


def send_state(files: WorkFiles) -> None:
    """What is published, told to other machines: its parts first, each once."""
    files.send(parts_of_published(files.folder))
    files.write("published.json", (files.folder / "published.json").read_text(encoding="utf-8"))


def parts_of_published(work: Path) -> list[str]:
    """Names below `work` of the parts that `published.json` names."""
    try:
        head = json.loads((work / "published.json").read_text(encoding="utf-8"))
        return [f"published/{Path(str(part)).name}" for part in head.get("parts", [])]
    except (OSError, ValueError, AttributeError):
        return []


def pull(root: Path, files: WorkFiles) -> int:
    """Make `root` what was last mirrored; the number of files brought. Raises RemoteError."""
    address = files.corpus_address
    # A name without a hash was about to be sent when its run ended: it is not of the corpus yet.
    wanted = {n: h for n, h in json.loads(files.read(RECORD) or "{}").items() if h is not None}
    for name in wanted:
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise RemoteError(f"{address} lists {name!r}, which is no name of a corpus file")
    own = claim(root, "corpus")
    lacking = [
        name
        for name, digest in wanted.items()
        if not (root / name).exists() or sha256_of(root / name) != digest
    ]
    own.about_to_write(lacking)
    try:
        system, base = open_address(address)
        for name in lacking:
            with atomic_path(root / name) as temporary:
                system.get_file(f"{base}/{name}", str(temporary))
    except Exception as error:
        raise RemoteError(f"{address}: {type(error).__name__}: {error}") from None
    own.wrote(wanted)
    own.remove([name for name in own.files if name not in wanted])
    return len(lacking)
