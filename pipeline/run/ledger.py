"""What is already done: one small file per stage and unit, written atomically.

A unit is all records of one video (or one source) in one stage. Its key is a hash of all that
its outcome depends on, so that a changed setting misses the old entry and reruns exactly what
it affects, and an unchanged one never repeats finished work. The number of workers, hosts and
attempts stay out of the key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests import records as rec
from manifests.files import write_atomic
from pipeline.storage.work_files import WorkFiles


@dataclass(frozen=True)
class Result:
    """The outcome of one input record: exactly one of records, reject, failure."""

    item_id: str
    records: list[Any] | None = None
    reject: rec.Reject | None = None
    failure: rec.Failure | None = None


@dataclass(frozen=True)
class Entry:
    """A finished unit with what it cost."""

    stage: str
    unit: str
    key: str
    results: list[Result]
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_rss_mb: float = 0.0
    decoded_s: float = 0.0
    video_s: float = 0.0
    attempts: int = 1
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> list[Any]:
        return [record for result in self.results for record in result.records or []]


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (dataclasses by their fields), hexadecimal."""
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            f.name: _plain(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if _is_in_key(f, getattr(value, f.name))
        }
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _is_in_key(item: dataclasses.Field[Any], value: Any) -> bool:
    """What the field says of itself (`manifests.records.InKey`)."""
    in_key = item.metadata.get("in_key", "always")
    if in_key != "unless_default":
        return in_key == "always"
    default = (
        item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
    )
    return value != default


class Ledger:
    """Finished units under `folder`, one JSON file each: `{stage}/{unit}/{key}.json`."""

    def __init__(self, folder: Path, files: WorkFiles | None = None) -> None:
        self.folder, self._files = folder, files

    def _path(self, stage: str, unit: str, key: str) -> Path:
        return self.folder / stage / unit / f"{key[:24]}.json"

    def get(self, stage: str, unit: str, key: str) -> Entry | None:
        """The finished unit, or None. An unreadable file counts as not done."""
        try:
            data = json.loads(self._path(stage, unit, key).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        if data.get("key") != key:
            return None
        return _decode_entry(data)

    def put(self, entry: Entry, kind: type) -> None:
        """Record a finished unit whose outputs are records of `kind`."""
        data = dataclasses.asdict(entry)
        data["kind"] = kind.__name__
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        path = self._path(entry.stage, entry.unit, entry.key)
        if self._files is None:
            write_atomic(path, text)
        else:  # other machines go on from the copy at the files' address
            self._files.write_later(f"ledger/{path.relative_to(self.folder)}", text)


def _decode_entry(data: dict[str, Any]) -> Entry:
    kind = getattr(rec, data.pop("kind"))
    results = [
        Result(
            item_id=r["item_id"],
            records=None if r["records"] is None else [decode(kind, x) for x in r["records"]],
            reject=None if r["reject"] is None else decode(rec.Reject, r["reject"]),
            failure=None if r["failure"] is None else decode(rec.Failure, r["failure"]),
        )
        for r in data.pop("results")
    ]
    return Entry(results=results, **data)


def decode(kind: type, data: dict[str, Any]) -> Any:
    """A record from its JSON mapping; integers stay integers, floats become floats."""
    hints = typing.get_type_hints(kind)
    floats = {name for name, hint in hints.items() if float in (hint, *typing.get_args(hint))}
    values = {k: float(v) if k in floats and isinstance(v, int) else v for k, v in data.items()}
    return kind(**values)


def failed_retryable(entry: Entry) -> bool:
    """Whether some record failed in a way that another day may mend."""
    return any(r.failure is not None and r.failure.retryable for r in entry.results)


def check_outcomes(item_ids: Sequence[str], outcomes: Sequence[Any], stage: str) -> None:
    """Raise ValueError unless there is one outcome per input, each with content."""
    if len(item_ids) != len(outcomes):
        raise ValueError(f"{stage}: {len(item_ids)} records in, {len(outcomes)} outcomes out")
    for item_id, outcome in zip(item_ids, outcomes, strict=True):
        if not isinstance(outcome, rec.Reject) and len(outcome) == 0:
            raise ValueError(f"{stage}: {item_id} has neither output nor reject")
