"""Why things fell out, in a few lines: for the end of a run, the audit's last words, the report."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.run.finished import Entries, fallen

NUM_SHOWN, EACH_SHOWN = 3, 20


def grouped(
    rejects: Iterable[dict[str, Any]],
    failures: Iterable[dict[str, Any]],
    stages: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """One row per stage, kind and reason, most frequent first within a stage; `measured` is the
    median, as text."""
    groups: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for row in rejects:
        groups[row["stage"], "rejected", row["reason"]].append(row)
    for row in failures:
        groups[row["stage"], "failed", row["reason"]].append(row)
    order = {stage: i for i, stage in enumerate(stages)}
    table = []
    for (stage, kind, reason), rows in groups.items():
        measured = [r["measured"] for r in rows if r.get("measured") is not None]
        limits = {r["threshold"] for r in rows if r.get("threshold") is not None}
        example = rows[0].get("detail") if kind == "rejected" else rows[0]["exception"]
        table.append(
            {
                "stage": stage,
                "kind": kind,
                "reason": reason,
                "count": len(rows),
                "measured": f"{statistics.median(measured):.3g}" if measured else "",
                "threshold": ", ".join(f"{x:.3g}" for x in sorted(limits)),
                "example": ((example or "").splitlines() or [rows[0]["item_id"]])[0],
            }
        )
    return sorted(table, key=lambda r: (order.get(r["stage"], 99), -r["count"], r["reason"]))


def of_entries(entries: Entries, *, offsets: bool = False) -> list[dict[str, Any]]:
    """As `grouped`, from the ledger's entries; with `offsets` one that has no number counts as a
    reject whose reason is its status."""
    rejects, failures = [], []
    for stage, units in entries.items():
        chosen = units.items() if offsets else fallen(units)
        for result in (r for _, entry in chosen for r in entry.results):
            if result.reject is not None:
                rejects.append(vars(result.reject) | {"stage": stage})
            elif result.failure is not None:
                failures.append(vars(result.failure) | {"stage": stage})
            rejects += [
                {
                    "stage": stage,
                    "reason": row.offset_status,
                    "measured": row.confidence,
                    "threshold": None,
                    "detail": row.reason,
                    "item_id": row.track_id,
                }
                for row in result.records or []
                if offsets and getattr(row, "offset_status", "measured") != "measured"
            ]
    return grouped(rejects, failures, list(entries))


def commonest(groups: Sequence[dict[str, Any]], count: int = NUM_SHOWN) -> list[str]:
    """The most frequent reasons as lines, with what was measured and the threshold."""
    lines = []
    for row in sorted(groups, key=lambda r: -r["count"])[:count]:
        judged = [f"{name} {row[name]}" for name in ("measured", "threshold") if row[name]]
        numbers = f" ({', '.join(judged)})" if judged else ""
        lines.append(
            f"  {row['count']} x {row['reason']}, {row['kind']} in {row['stage']}"
            f"{numbers}: {row['example']}"
        )
    if len(groups) > count:
        lines.append(f"  {len(groups) - count} other reason{'s' * (len(groups) - count > 1)}")
    return lines


def listed(
    rows: Sequence[dict[str, Any]],
    sources: Mapping[str, str],
    width: int | None = None,
    is_verbose: bool = False,
) -> Iterator[str]:
    """Rejects, failures and notes as lines: a head for each reason, with its count and what was
    measured, and a line each below it, its source first, cut to `width` columns.

    The head's numbers are medians. Of a reason `EACH_SHOWN` are listed, all with `is_verbose`, and
    then by id and whole address, with the chain of what caused a failure.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["stage"], row["reason"]].append(row)
    for (stage, reason), group in sorted(groups.items(), key=lambda g: -len(g[1])):
        (summed,) = grouped([r for r in group if "exception" not in r], []) or [{}]
        judged = [
            f"{name} {summed[name]}" for name in ("measured", "threshold") if summed.get(name)
        ]
        numbers = f" ({', '.join(judged)})" if judged else ""
        yield f"{len(group)} x {reason}, in {stage}{numbers}"
        for row in group if is_verbose else group[:EACH_SHOWN]:
            yield from _one(row, sources, width, is_verbose)
        if len(group) > EACH_SHOWN and not is_verbose:
            yield f"  and {len(group) - EACH_SHOWN} more (-v lists all)"


def _one(
    row: dict[str, Any], sources: Mapping[str, str], width: int | None, is_verbose: bool
) -> Iterator[str]:
    source = sources.get(row.get("video_id") or "") or sources.get(row["item_id"]) or row["item_id"]
    told = (row.get("detail") if "exception" not in row else row["exception"]) or ""
    first = (told.splitlines() or [""])[0]
    if is_verbose:
        yield f"  {source}  {row['item_id']}  {first}"
        chain = (row.get("detail") or "").splitlines() if "exception" in row else []
        yield from (f"    {line}" for line in chain if line.strip())
        return
    name = source if "://" in source else PurePosixPath(source).name
    first = first.removeprefix(f"{name}: ")
    measured = row.get("measured")
    line = f"  {name}  {first}{'' if measured is None else f': {measured:.3g}'}".rstrip()
    yield line if width is None or len(line) <= width else line[: width - 1] + "…"


def failed_words(entries: Entries, corpus: Path | str) -> str | None:
    """What failed and how to have it tried again; None where nothing did."""
    failed: dict[str, bool] = {}
    for units in entries.values():
        for unit, entry in fallen(units):
            for result in entry.results:
                if result.failure is not None:
                    failed[unit] = failed.get(unit, True) and result.failure.retryable
    if not failed:
        return None
    passing = sum(failed.values())
    ways = []
    if passing:
        ways.append(f"the same command tries {_them(passing, len(failed))} again by itself")
    if passing < len(failed):
        ways.append(f"--retry-failed tries {_them(len(failed) - passing, len(failed))} again")
    return (
        f"yld: {len(failed)} source{'s' * (len(failed) > 1)} failed in a stage; {', '.join(ways)}; "
        f"`yld status {corpus} --why` lists what failed"
    )


def _them(count: int, total: int) -> str:
    if count < total:
        return f"{count} of them"
    return "it" if total == 1 else "them"
