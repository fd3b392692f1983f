"""The ledger, side files and log of a corpus without what is taken out of it, and what the ledger
says of that before."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manifests.corpus import Corpus
from manifests.files import atomic_path
from manifests.plain_words import read_json
from pipeline.build.gone import Gone
from pipeline.corpus import marks
from pipeline.run.events import NAME as LOG
from pipeline.run.ledger import Ledger, Row
from pipeline.storage.work_files import WorkFiles

LEDGER = "ledger"
COUNTS = ("accepted", "rejected", "failed", "outputs")
SIDE_FOLDERS = ("shots", "tracks", "clips", "media", "sync")


def status_without(root: Path, gone: Gone) -> list[dict[str, Any]]:
    """The funnel of a corpus without what goes."""
    return looked(root, gone)[1]


def looked(root: Path, gone: Gone) -> tuple[set[str], list[dict[str, Any]]]:
    """What the ledger says of it: side files, and the funnel afterwards."""
    ledger = Ledger(root / "work" / LEDGER)
    side_files: set[str] = set()
    last: dict[tuple[str, str], Counter[str]] = {}
    for row in ledger.rows():
        try:
            results = json.loads(row.text)["results"]
        except (ValueError, KeyError, TypeError):
            continue
        kept = kept_results(gone, row.unit, results) or []
        if kept != results:
            fewer = last[row.stage, row.unit] = _counted(results)  # the newest entry counts
            fewer.subtract(_counted(kept))
            found = (r for result in results for r in result["records"] or ())
            side_files.update(name for r in found if gone.has_row(r) for name in _side_files(r))
    ledger.close()
    by_stage: dict[str, Counter[str]] = defaultdict(Counter)
    for (stage, _), fewer in last.items():
        by_stage[stage].update(fewer)
    return side_files, [_with_fewer(r, by_stage[r["stage"]]) for r in Corpus(root).status()]


def kept_results(
    gone: Gone, unit: str, results: list[dict[str, Any]]
) -> list[dict[str, Any]] | None:
    """Results of an entry without what goes; None where all of it goes."""
    if gone.has(unit):
        return None
    kept = []
    for result in results:
        if not gone.has(result["item_id"]):
            records = result["records"]
            stay = records and [r for r in records if not gone.has_row(r)]
            kept.append(result if stay == records else result | {"records": stay})
    return kept


def _with_fewer(row: dict[str, Any], fewer: Counter[str]) -> dict[str, Any]:
    now = row | {c: max(0, row[c] - fewer[c]) for c in COUNTS if c in row}
    return now | {"inputs": sum(now[c] for c in ("accepted", "rejected", "failed", "pending"))}


class Work:
    """What lies below `work`, being rid of what goes."""

    def __init__(self, files: WorkFiles, gone: Gone) -> None:
        self.files, self.work, self.gone = files, files.folder, gone

    def requests(self) -> None:
        for name in ("requests.json", "hints.json"):
            if (self.work / name).exists():
                rows = [r for r in read_json(self.work / name) if not self.gone.has_row(r)]
                self.files.write(name, json.dumps(rows, indent=1))
        if (self.work / marks.NAME).exists():
            kept = {c: m for c, m in marks.read(self.work).items() if not self.gone.has(c)}
            marks.write(self.work, kept)

    def ledger(self) -> None:
        ledger = Ledger(self.work / LEDGER, self.files)
        ledger.rewrite(self._edited)
        self.files.drop(self.files.listed(LEDGER))  # of an address: all that is left is sent anew
        ledger.send()
        self.files.flush()
        ledger.settle()
        ledger.close()

    def _edited(self, row: Row) -> str | None:
        """The text of an entry without what goes; None where nothing stays of it."""
        try:
            entry = json.loads(row.text)
            results = entry["results"]
        except (ValueError, KeyError, TypeError):
            return None if self.gone.has(row.unit) else row.text
        kept = kept_results(self.gone, row.unit, results)
        if kept is None or kept == results:
            return row.text if kept else None
        return json.dumps(entry | {"results": kept}, separators=(",", ":"), ensure_ascii=False)

    def side_files(self) -> None:
        inside = [*self.gone.files]
        for path in sorted(self.work.rglob("*")):
            name = path.relative_to(self.work).as_posix()
            if path.is_symlink() or name.split("/")[0] == LEDGER:
                continue
            if path.is_dir() and self.gone.has(path.name):
                shutil.rmtree(path)  # of a download that was stopped
            elif path.is_file() and "/" in name and self.gone.has_file(path.name):
                inside.append(name)
        inside += [n for n in self._far_files() if self.gone.has_file(n.rpartition("/")[2])]
        self.files.drop(dict.fromkeys(inside))

    def _far_files(self) -> list[str]:
        """Names of all work files at the address but the ledger's."""
        return [n for folder in SIDE_FOLDERS for n in self.files.listed(folder)]

    def log(self) -> None:
        """Runs that are over, without the lines that are about it."""
        path = self.work / LOG
        if not path.exists():
            return
        with (
            atomic_path(path) as temporary,
            open(path, encoding="utf-8") as old,
            open(temporary, "w", encoding="utf-8") as new,
        ):
            new.writelines(line for line in old if not self._is_logged(line))

    def _is_logged(self, line: str) -> bool:
        try:
            values = [v for v in json.loads(line).values() if isinstance(v, str)]
        except (ValueError, AttributeError):
            return self.gone.has_text(line)
        return any(
            v in self.gone.addresses or self.gone.has(v) or self.gone.has_text(v) for v in values
        )


def _counted(results: list[dict[str, Any]]) -> Counter[str]:
    """What the funnel counts of them."""
    total: Counter[str] = Counter()
    for result in results:
        total["accepted"] += result["records"] is not None
        total["rejected"] += result["reject"] is not None
        total["failed"] += result["failure"] is not None
        total["outputs"] += len(result["records"] or ())
    return total


def _side_files(found: dict[str, Any]) -> Iterator[str]:
    """Files below `work` that a record names: media that was fetched, captions, side files."""
    for name in ("media_path", "faces_path", "payload_path", "caption_paths"):
        value = found.get(name)
        for path in value if isinstance(value, list) else [value]:
            if not isinstance(path, str) or not path or Path(path).is_absolute():
                continue
            if ".." not in Path(path).parts:
                yield path
