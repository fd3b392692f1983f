"""Taking away what yld wrote in a folder of its own, and nothing else (`yld clean`)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from manifests import records as rec
from manifests.paths import as_path
from pipeline.graph import NODES
from pipeline.run.ledger import decode
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import MARK, NotOursError, drop_empty, find
from pipeline.storage.work_files import written_by

STATE = (
    "requests.json",
    "hints.json",
    "published.json",
    "pushed.json",
    "status.json",
    "log.jsonl",
    "lease.json",
    "seen",
    "audited.json",
    "rows.jsonl",
    "tmp/token",
    "fence",
    "lock",
)


def clean(root: Path) -> tuple[int, list[str]]:
    """Remove what yld wrote to the folder `root`; how many files, and what stays (relative).

    Folders of ours inside it (the audits of a resync, the corpus of a demo) are cleaned too.
    Raises NotOursError for a folder without our mark, CorpusBusyError while a run is at work.
    """
    own = find(root)
    if own is None:
        raise NotOursError(
            f"{root} has no {MARK}: yld did not make it, or with a version before "
            "marks; give the command that made it once more to have one"
        )
    removed = 0
    for mark in sorted(root.glob(f"*/{MARK}")):
        removed += clean(mark.parent)[0]
    if (root / "work").is_dir():
        with CorpusLock(root / "work"):
            removed += _remove_work(root / "work")
    removed += own.remove(list(own.files))
    left = sorted(
        str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir() and p != root / MARK
    )
    if not left:
        (root / MARK).unlink()
        for folder in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
            drop_empty(folder, root)
    return removed, left


def _remove_work(work: Path) -> int:
    removed = 0
    for name in {*_side_files(work), *STATE}:
        path = work / name
        if path.is_file() and not path.is_symlink():
            path.unlink()
            removed += 1
        drop_empty(path.parent, work)
    drop_empty(work, work.parent)
    return removed


def _side_files(work: Path) -> Iterator[str]:
    """Names below `work` that the ledger's entries name, and the entries themselves."""
    for path in (work / "ledger").glob("*/*/*.json"):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            kind = getattr(rec, entry["kind"])
            outputs = [decode(kind, r) for x in entry["results"] for r in x["records"] or []]
            if entry["stage"] in NODES:
                names = written_by(NODES[entry["stage"]].stage(), entry["unit"], outputs)
            else:  # a stage that the graph has no more
                names = [name for r in outputs for name in rec.files_of(r, "side_file")]
            names += [
                os.path.relpath(as_path(r.target), work.resolve())
                for r in outputs
                if isinstance(r, rec.Correction)
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not an entry of ours
        yield str(path.relative_to(work))
        yield from (n for n in names if ".." not in Path(n).parts)
