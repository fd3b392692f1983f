"""Media that was let go (`download.keep_sources`) and is needed once more is fetched once more; a
file of the user's that is gone fails its units by name, and another run tries them again.

A changed setting reruns stages that read the picture or the sound. Their units wait here until
the download of their source has run again; other bytes than before, or none, fail them by name
instead of mixing two versions of one video.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from manifests import records as rec
from manifests.paths import as_path
from pipeline.graph import records_in, units_of_kind
from pipeline.run.entry import Entry
from pipeline.run.finished import Entries, that_gave
from pipeline.run.unit import Unit
from pipeline.storage.work_files import WorkFiles

COPIED = frozenset({"link", "member"})
"""Kinds of sources whose media is a copy of our own."""


class Refetch:
    """Units that wait for their media. `entries` are the runner's, by stage and unit."""

    def __init__(self, files: WorkFiles, entries: Entries) -> None:
        self.files, self.entries = files, entries
        self._waiting: dict[str, list[Unit]] = {}

    def source_for(self, unit: Unit) -> rec.Source | None:
        """The source to fetch before `unit` can run; None if its media is there."""
        path = _media_of(unit)
        if path.startswith("/") or self.files.size(path) is not None:
            return None  # the user's own, or at hand
        for entry in that_gave(units_of_kind(self.entries, rec.Fetched), _video_of(unit)):
            for fetched in entry.outputs:
                if fetched.kind in COPIED and fetched.media_path == path:
                    return self._source(fetched.source_id)
        return None

    def missing_file(self, unit: Unit) -> Path | None:
        """The user's own file that `unit` must read and that is no longer there."""
        path = as_path(_media_of(unit))
        return path if path.is_absolute() and not path.exists() else None

    def _source(self, source_id: str) -> rec.Source | None:
        entries = that_gave(units_of_kind(self.entries, rec.Source), source_id)
        found = (s for e in entries for s in e.outputs)
        return next((s for s in found if s.source_id == source_id), None)

    def hold(self, source_id: str, unit: Unit) -> bool:
        """Let `unit` wait; whether its source is not being fetched yet."""
        is_first = source_id not in self._waiting
        self._waiting.setdefault(source_id, []).append(unit)
        return is_first

    def is_pending(self, source_id: str) -> bool:
        return source_id in self._waiting

    def held(self) -> list[Unit]:
        """Units that wait now."""
        return [unit for units in self._waiting.values() for unit in units]

    def release(
        self, entry: Entry, go: Callable[[Unit], None], fail: Callable[[Unit, str, str], None]
    ) -> None:
        """The source has an outcome: its units go on, or fail with what became of it."""
        before = units_of_kind(self.entries, rec.Fetched).get(entry.unit)
        was = {f.media_path: f.sha256 for f in (before.outputs if before else ())}
        now = {f.media_path: f.sha256 for f in entry.outputs}
        for unit in self._waiting.pop(entry.unit):
            path = _media_of(unit)
            if path in now and now[path] == was.get(path):
                go(unit)
            elif now:
                fail(
                    unit,
                    "source_changed",
                    f"{path} was let go and its source gives other "
                    "bytes now; build it into a new folder",
                )
            else:
                fail(
                    unit,
                    "source_gone",
                    f"{path} was let go and could not be fetched again: {_why(entry)}",
                )


def _video_of(unit: Unit) -> str:
    return getattr(unit.records[0], "video_id", unit.name) if unit.records else unit.name


def _media_of(unit: Unit) -> str:
    """The media that a stage reads which reads media: that of its records, or of their video."""
    return next(
        path
        for record in (*unit.records, *records_in(unit.earlier))
        for path in rec.files_of(record, "media")
    )


def _why(entry: Entry) -> str:
    for result in entry.results:
        if result.reject:
            return f"{result.reject.reason}: {result.reject.detail}"
        if result.failure:
            return str(result.failure.exception)
    return "no reason is known"


def drop(files: WorkFiles, entries: Entries, video_id: str | None = None) -> None:
    """Delete fetched media (never the user's own files), of one video or of all."""
    units = units_of_kind(entries, rec.Fetched)
    for entry in units.values() if video_id is None else that_gave(units, video_id):
        for fetched in entry.outputs:
            if fetched.kind in COPIED and video_id in (None, fetched.video_id):
                files.drop([fetched.media_path])
