"""A finished unit: the outcome of all records of one video (or one source) in one stage.

Its key is a hash of all that its outcome depends on, so that a changed setting misses the old entry
and reruns exactly what it affects, and an unchanged one never repeats finished work. The number of
workers, hosts and attempts stay out of the key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from manifests import records as rec


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


def encoded(entry: Entry, kind: type) -> str:
    """A finished unit whose outputs are records of `kind`, as one line of JSON."""
    data = vars(entry) | {"kind": kind.__name__}
    return json.dumps(data, default=vars, separators=(",", ":"), ensure_ascii=False)


def decoded(data: dict[str, Any]) -> Entry:
    """The entry of a line's mapping. Raises KeyError, TypeError and AttributeError for what is
    none."""
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
    for name in _floats(kind):
        if isinstance(data.get(name), int):
            data = {**data, name: float(data[name])}
    return kind(**data)


@cache
def _floats(kind: Hashable) -> tuple[str, ...]:
    hints = typing.get_type_hints(kind)
    return tuple(n for n, hint in hints.items() if float in (hint, *typing.get_args(hint)))


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
