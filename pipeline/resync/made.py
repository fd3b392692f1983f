"""What earlier runs of `yld resync` made below `work`, and whether it can be built on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from manifests.files import sha256_of
from manifests.paths import as_path
from manifests.records import Correction
from pipeline.run.ledger import Ledger


def forget_lost(corrections: Sequence[Correction], work: Path, known: Iterable[str | None]) -> None:
    """Have made again what the ledger takes for made and is not there as it was.

    Versions before this one gave a file in `work` its place as a second name, through which an
    edit in place reaches it. A file of several names is only trusted if its SHA-256 is among
    `known`, those recorded of the places; else its name below `work` goes, and its content stays
    under the other. Call it under the lock of `work`.
    """
    hashes, gone = set(known), set()
    for item in corrections:
        target = as_path(item.target)
        if target.is_file() and target.stat().st_nlink > 1 and sha256_of(target) not in hashes:
            target.unlink()
        if not target.exists():
            gone.add(item.target)
    if not gone:
        return
    ledger = Ledger(work / "ledger")
    ledger.forget("correct", lambda entry: bool(gone & _targets(entry)))
    ledger.close()


def _targets(entry: dict[str, Any]) -> set[str]:
    """What a ledger entry says was written."""
    return {record["target"] for r in entry["results"] for record in r["records"] or []}
