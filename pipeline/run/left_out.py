"""What was taken out of a corpus is left out of all that a run finds (`yld remove`)."""

from __future__ import annotations

import dataclasses

from manifests import records as rec
from pipeline.run.entry import Entry, Result
from pipeline.storage.removed import DETAIL, REASON, Removed


def without(entry: Entry, removed: Removed) -> tuple[Entry, list[object]]:
    """The entry without the records that were removed, and these. An input of which nothing stays
    is rejected; an entry without such records is given back itself."""
    gone = [record for record in entry.outputs if removed.holds(record)]
    if not gone:
        return entry, []
    results = [_without(entry.stage, result, gone) for result in entry.results]
    return dataclasses.replace(entry, results=results), gone


def _without(stage: str, result: Result, gone: list[object]) -> Result:
    if result.records is None:
        return result
    kept = [record for record in result.records if not any(record is g for g in gone)]
    if kept or not result.records:
        return Result(result.item_id, kept)
    reject = rec.Reject(REASON, stage=stage, item_id=result.item_id, detail=f"it {DETAIL}")
    return Result(result.item_id, reject=reject)
