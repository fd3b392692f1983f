"""Taking away what yld wrote in a folder of its own, and nothing else (`yld clean`)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manifests import records as rec
from manifests.paths import as_path
from pipeline.graph import MAIN_JOB, NODES
from pipeline.run.ledger import Ledger, decode
from pipeline.storage.lock import CorpusLock
from pipeline.storage.mirror import parts_of_published
from pipeline.storage.own_folder import MARK, NotOursError, drop_empty, find
from pipeline.storage.work_files import written_by

STATE = (
    "requests.json",
    "hints.json",
    "published.json",
    "marks.json",
    "removed.json",
    "removing.json",
    "made.json",
    "pushed.json",
    "status.json",
    "log.jsonl",
    "lease.json",
    "seen",
    "hashes.json",
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


@dataclass(frozen=True)
class Cleaned:
    """What `clean_side_files` did."""

    num_files: int
    num_bytes: int
    stages: tuple[str, ...]
    """Whose files went."""
    bytes_left: int
    """Below `work`."""


def clean_side_files(root: Path) -> Cleaned:
    """Remove what stages before the clips wrote beside their records, of videos that are finished.

    What stays is all that a resume or an append needs: the ledger, what is published, the clips
    that shards are made of, and media. A changed setting does the stages again whose files it
    misses.
    Raises NotOursError for a folder without our mark, CorpusBusyError while a run is at work,
    ValueError for a corpus that is not published yet.
    """
    if find(root) is None:
        raise NotOursError(f"{root} has no {MARK}: yld did not make it")
    work = root / "work"
    if not (work / "published.json").is_file():
        raise ValueError(
            f"{root} holds no corpus that was published: its side files are needed to go on. "
            "Finish it with the same `yld build`"
        )
    num_files = num_bytes = 0
    stages: dict[str, None] = {}
    with CorpusLock(work):
        ledger = Ledger(work / "ledger")
        # What comes after the clips reads theirs alone, and so does publishing.
        last = next(i for i, node in enumerate(MAIN_JOB) if node.outputs is rec.Clip)
        finished = {row.unit for row in ledger.rows(MAIN_JOB[last].name)}
        for node in MAIN_JOB[:last]:
            for row in ledger.rows(node.name):
                for name in _side_names(row.text) if row.unit in finished else ():
                    path = work / name
                    if path.is_file() and not path.is_symlink():
                        num_bytes += path.stat().st_size
                        num_files += 1
                        stages[node.name] = None
                        path.unlink()
        ledger.close()
    left = sum(p.stat().st_size for p in work.rglob("*") if p.is_file())
    return Cleaned(num_files, num_bytes, tuple(stages), left)


def _side_names(text: str) -> list[str]:
    """Side files that an entry names, below `work` alone."""
    try:
        entry = json.loads(text)
        kind = getattr(rec, entry["kind"])
        outputs = [decode(kind, r) for x in entry["results"] for r in x["records"] or []]
        names = [name for r in outputs for name in rec.files_of(r, "side_file")]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []  # not an entry of ours
    return [n for n in names if not Path(n).is_absolute() and ".." not in Path(n).parts]


def _remove_work(work: Path) -> int:
    removed = 0
    for name in {*_side_files(work), *parts_of_published(work), *STATE}:
        path = work / name
        if path.is_file() and not path.is_symlink():
            path.unlink()
            removed += 1
        drop_empty(path.parent, work)
    drop_empty(work, work.parent)
    return removed


def _side_files(work: Path) -> Iterator[str]:
    """Names below `work` that the ledger's entries name, and the ledger's own."""
    ledger = Ledger(work / "ledger")
    names = []
    for row in ledger.rows():
        written = _written(row.stage, row.unit, row.text, work)
        if written is not None:
            names += [*written, *([f"ledger/{row.name}"] if row.name is not None else [])]
    ledger.close()
    yield from dict.fromkeys(n for n in names if ".." not in Path(n).parts)
    yield from (f"ledger/{name}" for name in ledger.own_files())


def _written(stage: str, unit: str, text: str, work: Path) -> list[str] | None:
    """Names below `work` that an entry names; None for what is no entry of ours."""
    try:
        entry = json.loads(text)
        kind = getattr(rec, entry["kind"])
        outputs = [decode(kind, r) for x in entry["results"] for r in x["records"] or []]
        if stage in NODES:
            names = written_by(NODES[stage].stage(), unit, outputs)
        else:  # a stage that the graph has no more
            names = [name for r in outputs for name in rec.files_of(r, "side_file")]
        return names + [
            os.path.relpath(as_path(r.target), work.resolve())
            for r in outputs
            if isinstance(r, rec.Correction)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
