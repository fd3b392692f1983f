"""What lies below `work` of two corpora, in one: ledger, side files, media, marks, records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from manifests.files import atomic_path, write_atomic
from manifests.plain_words import read_json
from pipeline.build.work_without import LEDGER, kept_results
from pipeline.care.sides import Side
from pipeline.corpus import marks
from pipeline.run.ledger import Ledger
from pipeline.storage import removed as record


def merge_work(a: Side, b: Side, work: Path) -> None:
    for path in (work / LEDGER).glob("entries.db*"):  # of a run that was stopped
        path.unlink()
    ledger = Ledger(work / LEDGER)
    for side in (a, b):
        _entries(side, ledger)
        _side_files(side, work)
    ledger.close()
    for name in ("requests.json", "hints.json"):
        rows: dict[str, Any] = {}
        for side in (a, b):
            if (side.work / name).exists():
                for row in read_json(side.work / name):
                    if not side.gone.has_row(row):
                        key = row.get("hint_id") or row["request_id"]
                        rows.setdefault(key, row)
        if rows or name == "requests.json":
            write_atomic(work / name, json.dumps(list(rows.values()), indent=1))
    marked = {
        clip: mark
        for side in (b, a)
        for clip, mark in marks.read(side.work).items()
        if not side.gone.has(clip)
    }
    if marked:
        marks.write(work, marked)
    both = record.together(record.read(a.work), record.read(b.work))
    if both:
        both.write(work)


def _entries(side: Side, ledger: Ledger) -> None:
    source = Ledger(side.work / LEDGER)
    for row in source.rows():
        try:
            entry = json.loads(row.text)
            kept = kept_results(side.gone, row.unit, entry["results"])
            if kept is None:
                continue
            text = row.text if kept == entry["results"] else json.dumps(entry | {"results": kept})
            ledger.adopt(text)
        except (ValueError, KeyError, TypeError):
            continue  # damaged: it counts as not done
    source.close()


def _side_files(side: Side, work: Path) -> None:
    """Media, faces, tracks and clips; A's, which come first, where both have one."""
    for path in sorted(side.work.glob("*/**/*")):
        name = path.relative_to(side.work)
        if name.parts[0] in (LEDGER, "tmp", "writing", "download", "published"):
            continue
        is_gone = side.gone.has_file(path.name) or name.as_posix() in side.gone.files
        if path.is_symlink() or not path.is_file() or is_gone or (work / name).exists():
            continue
        with atomic_path(work / name) as temporary:
            shutil.copyfile(path, temporary)
