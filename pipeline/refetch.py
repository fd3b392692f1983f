"""Media that was let go (`download.keep_sources`) and is needed once more is fetched once more; a
file of the user's that is gone fails its units by name, and another run tries them again.

A changed setting reruns stages that read the picture or the sound. Their units wait here until
the download of their source has run again; other bytes than before, or none, fail them by name
instead of mixing two versions of one video.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from manifests import records as rec
from manifests.paths import as_path
from pipeline.ledger import Entry
from pipeline.work_files import READS_MEDIA, WorkFiles


class Refetch:
    """Units that wait for their media. `entries` are the runner's, by stage and unit."""

    def __init__(self, files: WorkFiles, entries: dict[str, dict[str, Entry]]) -> None:
        self.files, self.entries = files, entries
        self._waiting: dict[str, list[Any]] = {}

    def source_for(self, unit: Any) -> rec.Source | None:
        """The source to fetch before `unit` can run; None if its media is there."""
        if unit.node.name not in READS_MEDIA:
            return None
        record = unit.services.get("video") or unit.records[0]
        if record.media_path.startswith("/") or self.files.size(record.media_path) is not None:
            return None  # the user's own, or at hand
        for entry in self.entries["download"].values():
            for fetched in entry.outputs:
                if fetched.kind == "link" and fetched.media_path == record.media_path:
                    return self._source(fetched.source_id)
        return None

    def missing_file(self, unit: Any) -> Path | None:
        """The user's own file that `unit` must read and that is no longer there."""
        if unit.node.name not in READS_MEDIA:
            return None
        path = as_path((unit.services.get("video") or unit.records[0]).media_path)
        return path if path.is_absolute() and not path.exists() else None

    def _source(self, source_id: str) -> rec.Source | None:
        found = (s for e in self.entries["expand"].values() for s in e.outputs)
        return next((s for s in found if s.source_id == source_id), None)

    def hold(self, source_id: str, unit: Any) -> bool:
        """Let `unit` wait; whether its source is not being fetched yet."""
        is_first = source_id not in self._waiting
        self._waiting.setdefault(source_id, []).append(unit)
        return is_first

    def is_pending(self, source_id: str) -> bool:
        return source_id in self._waiting

    def held(self) -> list[Any]:
        """Units that wait now."""
        return [unit for units in self._waiting.values() for unit in units]

    def release(self, entry: Entry, go: Callable[[Any], None],
                fail: Callable[[Any, str, str], None]) -> None:
        """The source has an outcome: its units go on, or fail with what became of it."""
        before = self.entries["download"].get(entry.unit)
        was = {f.media_path: f.sha256 for f in before.outputs} if before else {}
        now = {f.media_path: f.sha256 for f in entry.outputs}
        for unit in self._waiting.pop(entry.unit):
            path = (unit.services.get("video") or unit.records[0]).media_path
            if path in now and now[path] == was.get(path):
                go(unit)
            elif now:
                fail(unit, "source_changed", f"{path} was let go and its source gives other "
                     "bytes now; build it into a new folder")
            else:
                fail(unit, "source_gone", f"{path} was let go and could not be fetched again: "
                     f"{_why(entry)}")


def _why(entry: Entry) -> str:
    for result in entry.results:
        if result.reject:
            return f"{result.reject.reason}: {result.reject.detail}"
        if result.failure:
            return str(result.failure.exception)
    return "no reason is known"


def drop(files: WorkFiles, entries: dict[str, dict[str, Entry]],
         video_id: str | None = None) -> None:
    """Delete fetched media (never the user's own files), of one video or of all."""
    for entry in entries["download"].values():
        for fetched in entry.outputs:
            if fetched.kind == "link" and video_id in (None, fetched.video_id):
                files.drop([fetched.media_path])
