"""A build and what was removed before it: a removal that was stopped is completed, what is asked
for again is not taken, and what came again by another way goes as the first time."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from manifests.plain_words import read_json
from manifests.records import Hint
from pipeline.build import taking_out
from pipeline.build.gone import begun
from pipeline.build.said import speaker_id
from pipeline.run.finished import Entries, fallen
from pipeline.storage import removed as record
from pipeline.storage.removed import Removed
from pipeline.storage.work_files import WorkFiles
from stages.sources.arguments import Given


def complete(root: Path, files: WorkFiles) -> None:
    """Complete a removal that was stopped in the middle."""
    if begun(files.folder) is not None:
        _say("a removal was stopped in the middle; it is completed first")
        taking_out.complete(root, files)


def without(wanted: Given, work: Path) -> Given:
    """What of `wanted` may be built: not what was removed, by its address, nor of a person who was,
    where the corpus names the speaker. Hints on that person go from requests that are there."""
    removed = record.read(work)
    if not removed:
        return wanted
    known = {r["request_id"] for r in _known(work)}
    hints = [h for h in wanted.hints if not _is_of(removed, h)]
    theirs = {h.request_id for h in wanted.hints if _is_of(removed, h)} - known
    kept = [r for r in wanted.requests if r.request_id not in theirs and not removed.holds(r)]
    if num := len(wanted.requests) - len(kept):
        was = "source was" if num == 1 else "sources were"
        _say(f"{num} {was} taken out of this corpus with `yld remove`, and not taken in again")
    ids = {r.request_id for r in kept}
    return Given(kept, [h for h in hints if h.request_id in ids])


def take_out_again(root: Path, files: WorkFiles, entries: Entries) -> None:
    """Sources and videos in which a stage met what was removed: the same bytes by another link, the
    same video in a list, the face of somebody whose face is remembered."""
    requests: set[str] = set()
    sources: set[str] = set()
    videos: set[str] = set()
    for name, units in entries.items():
        for unit, entry in fallen(units):
            for result in entry.results:
                if result.reject is not None and result.reject.reason == record.REASON:
                    {"expand": requests, "download": sources}.get(name, videos).add(unit)
    if not (requests or sources or videos):
        return
    from manifests.corpus import Corpus
    from pipeline.build.gone import gone_of

    told = len(requests) + len(sources) + len(videos)
    came = "source brings" if told == 1 else "sources bring"
    _say(f"{told} {came} again what was taken out of this corpus; all that is of it goes")
    gone = gone_of(Corpus(root), requests, sources, videos)
    taking_out.take_out(root, files, gone)


def _is_of(removed: Removed, hint: Hint) -> bool:
    return removed.has("speaker", speaker_id(hint))


def _known(work: Path) -> Iterable[dict[str, Any]]:
    path = work / "requests.json"
    return read_json(path) if path.exists() else []


def _say(text: str) -> None:
    print(f"yld: {text}", file=sys.stderr)
