"""The report's tables: every clip with its source, speakers, sources, reasons."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from manifests.clock import seconds_of
from manifests.corpus import Corpus
from manifests.page.tables import Cell, Column, Link, packed, payload, table
from pipeline.run import why

CLIP_BYTES = 2_600_000
"""What the list of clips may take of a page, packed, so that 100,000 fit in 5 MB."""
TEXT_LENGTHS = (400, 120, 60, 30, 12, 0)
CLIP_COLUMNS = (
    Column("clip"),
    Column("source", "link"),
    Column("at, s", "number", 1),
    Column("length, s", "number", 1),
    Column("speaker"),
    Column("split"),
    Column("offset"),
    Column("lag, ms", "number", 0, True),
    Column("confidence", "number", 2),
    Column("text"),
)


def clips(corpus: Corpus) -> dict[str, Any]:
    """`clips`: the table of all published clips as HTML; `clips_note`: what was shortened.

    Texts are shortened, then rows left out, until the table fits `CLIP_BYTES`.
    """
    samples = {s["clip_id"]: s for s in corpus.rows("samples")}
    places = _places(corpus)
    rows = [
        _clip(row, samples[row["clip_id"]], places.get(row["video_id"]))
        for row in corpus.rows("clips")
        if row["clip_id"] in samples
    ]
    rows.sort(key=lambda r: str(r[0]))
    kept, note = fitted(rows)
    return {"clips": table(CLIP_COLUMNS, kept, "clips"), "clips_note": note}


def fitted(rows: list[list[Cell]], most: int = CLIP_BYTES) -> tuple[list[list[Cell]], str]:
    """The rows with texts short enough for `most` bytes, and a sentence on what was done."""
    longest = max((len(str(r[-1] or "")) for r in rows), default=0)
    for length in TEXT_LENGTHS:
        short = [[*r[:-1], _shortened(str(r[-1] or ""), length)] for r in rows]
        if len(packed(payload(CLIP_COLUMNS, short))) <= most:
            if longest <= length:
                return short, ""
            if length:
                return short, f"Texts are cut to {length} letters to keep the page small."
            return short, "Texts are left out to keep the page small; the shards hold them."
    size = len(packed(payload(CLIP_COLUMNS, short)))
    count = int(len(rows) * most / size * 0.95)
    return short[:count], (
        f"The first {count} of {len(rows)} clips, without texts, to keep the page small; "
        "manifests/clips holds all."
    )


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…" if length else ""


def _clip(row: dict[str, Any], sample: dict[str, Any], place: Link | None) -> list[Cell]:
    at_s = seconds_of(row["start_frame"])
    # A link goes to whole seconds, the last before the clip begins: sites know no others.
    source = place and Link(place.text, place.base, f"{place.after}{int(at_s)}")
    return [
        row["clip_id"],
        source,
        at_s,
        seconds_of(row["num_frames"]),
        sample["speaker_id"],
        sample["split"],
        row["offset_status"].replace("_", " "),
        row["video_lag_ms"],
        row["confidence"],
        row["text"] or "",
    ]


def _places(corpus: Corpus) -> dict[str, Link]:
    """How a moment of each video is reached: `after` ends where the seconds follow."""
    found: dict[str, Link] = {}
    for row in corpus.rows("sources"):
        found.setdefault(row["video_id"], place(row))
    return found


def place(source: dict[str, Any]) -> Link:
    """A source as a link that lacks only the seconds."""
    address, name = source["address"], source["title"] or source["site_id"]
    if source["kind"] == "file":
        base = "file://" + quote(str(Path(address))) if address.startswith("/") else ""
        return Link(name or Path(address).name, base, "#t=")
    if (source["extractor"] or "").lower().startswith("youtube") and "?" in address:
        return Link(name or address, address.split("#")[0], "&t=")
    return Link(name or address, address.split("#")[0], "#t=")


def speakers(corpus: Corpus) -> str:
    """One row per speaker: clips, hours, centre and spread of the lag, undecided tracks."""
    name_of = {r["track_id"]: r["speaker_id"] for r in corpus.rows("speakers")}
    return _groups(corpus, "speaker", name_of)


def sources(corpus: Corpus) -> str:
    """The same by uploader, folder or link."""
    name_of = {
        t["track_id"]: corpus.source_name(t["video_id"]) or t["video_id"]
        for t in corpus.rows("tracks")
    }
    return _groups(corpus, "source", name_of)


def _groups(corpus: Corpus, label: str, name_of: dict[str, str]) -> str:
    published = {s["clip_id"] for s in corpus.rows("samples")}
    seconds: dict[str, float] = defaultdict(float)
    count: Counter[str] = Counter()
    for clip in corpus.rows("clips"):
        if clip["clip_id"] in published and (name := name_of.get(clip["track_id"])) is not None:
            seconds[name] += seconds_of(clip["num_frames"])
            count[name] += 1
    offsets: dict[str, list[float | None]] = defaultdict(list)
    for row in corpus.rows("offsets"):
        if (name := name_of.get(row["track_id"])) is not None:
            offsets[name].append(row["video_lag_ms"])
    columns = [
        Column(label),
        Column("clips", "number"),
        Column("minutes", "number", 1),
        Column("tracks measured", "number"),
        Column("undecided", "number"),
        Column("centre, ms", "number", 0, True),
        Column("spread, ms", "number"),
    ]
    names = sorted(offsets.keys() | count.keys(), key=lambda n: (-count[n], n))
    rows: list[list[Cell]] = []
    for name in names:
        lags = [x for x in offsets[name] if x is not None]
        centre, spread = centre_and_spread(lags)
        undecided = len(offsets[name]) - len(lags)
        rows.append([name, count[name], seconds[name] / 60, len(lags), undecided, centre, spread])
    return table(columns, rows, f"{label}s")


def centre_and_spread(values: Iterable[float]) -> tuple[float | None, float | None]:
    """Median, and the median distance from it; None where there is nothing, or but one."""
    values = list(values)
    if not values:
        return None, None
    centre = statistics.median(values)
    spread = statistics.median(abs(v - centre) for v in values) if len(values) > 1 else None
    return centre, spread


def reasons(corpus: Corpus) -> str:
    """One row per stage, kind and reason, with an example named by its source."""
    names: dict[str, str] = {}
    for table_name in ("expanded", "sources"):
        for row in corpus.rows(table_name):
            name = row.get("title") or Path(row["address"]).name
            names[row["source_id"]] = name
            if row.get("video_id"):
                names.setdefault(row["video_id"], name)
    for row in corpus.rows("requests"):
        names.setdefault(row["request_id"], row["address"])
    example: dict[tuple[str, str, str], str] = {}
    for kind, table_name in (("rejected", "rejects"), ("failed", "failures")):
        for row in corpus.rows(table_name):
            named = names.get(row["video_id"] or "") or names.get(row["item_id"]) or row["item_id"]
            example.setdefault((row["stage"], kind, row["reason"]), named)
    grouped = why.grouped(
        corpus.rows("rejects"), corpus.rows("failures"), [row["stage"] for row in corpus.status()]
    )
    columns = [
        Column("stage"),
        Column("kind"),
        Column("reason"),
        Column("count", "number"),
        Column("measured (median)"),
        Column("threshold"),
        Column("for example"),
        Column("which says"),
    ]
    rows: list[list[Cell]] = [
        [
            r["stage"],
            r["kind"],
            r["reason"].replace("_", " "),
            r["count"],
            r["measured"],
            r["threshold"],
            example[r["stage"], r["kind"], r["reason"]],
            r["example"],
        ]
        for r in grouped
    ]
    return table(columns, rows, "reasons", "Nothing was left out.")
