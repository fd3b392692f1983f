"""What became of a corpus that was built from another's links: same, changed, gone."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.corpus import Corpus
from manifests.links import Links

FILE = "rebuilt.csv"
LENGTH_US = 40_000
"""Least difference of length that is told: a frame."""


@dataclass(frozen=True)
class Fate:
    """Of one video of the list."""

    address: str
    fate: str
    """same | same_video_other_clips | other_bytes | other_length | gone"""
    clips_there: int
    clips_here: int
    clips_same: int
    detail: str = ""


def fates(corpus: Corpus, links: Links) -> list[Fate]:
    """A row for each video of the list, in its order."""
    by_address: dict[str, Mapping[str, Any]] = {}
    for row in corpus.rows("sources"):
        by_address.setdefault(row["address"], row)
    lengths = {row["video_id"]: row["duration_us"] for row in corpus.rows("videos")}
    hashes = {row["clip_id"]: (row["video_id"], row["sha256"]) for row in corpus.rows("samples")}
    here = Counter(video for video, _ in hashes.values())
    why = _why(corpus)
    return [_fate(video, by_address, lengths, hashes, here, why) for video in links.videos]


def _fate(video, by_address, lengths, hashes, here, why) -> Fate:
    address, there = video["address"], len(video["clips"])
    source = by_address.get(address)
    if source is None:
        return Fate(address, "gone", there, 0, 0, why.get(address, "it could not be fetched"))
    now = source["video_id"]
    same = sum(
        hashes.get(clip["clip_id"], ("", ""))[1] == clip.get("sha256") for clip in video["clips"]
    )
    count = here[now]
    if source["sha256"] == video.get("sha256"):
        if same == there == count:
            return Fate(address, "same", there, count, same)
        reason = why.get(now, "") if not count else ""
        return Fate(address, "same_video_other_clips", there, count, same, reason)
    before, after = video.get("duration_us"), lengths.get(now)
    if before is not None and after is not None and abs(before - after) >= LENGTH_US:
        detail = f"{before / 1e6:.2f} s then, {after / 1e6:.2f} s now"
        return Fate(address, "other_length", there, count, same, detail)
    return Fate(address, "other_bytes", there, count, same, "re-uploaded, or another format")


def _why(corpus: Corpus) -> dict[str, str]:
    """The first reason by address of a request and by video."""
    names = {r["request_id"]: r["address"] for r in corpus.rows("requests")}
    names |= {r["source_id"]: r["address"] for r in corpus.rows("expanded")}
    found: dict[str, str] = {}
    for row in (*corpus.rows("failures"), *corpus.rows("rejects")):
        text = f"{row['stage']}: {row['reason']}"
        for name in (names.get(row["item_id"]), row["video_id"]):
            if name is not None:
                found.setdefault(name, text)
    return found


def write_fates(root: Path, rows: list[Fate]) -> None:
    """`rebuilt.csv` in the corpus folder."""
    from manifests.files import write_atomic
    from pipeline.storage import own_folder

    own = own_folder.claim(root, "corpus")
    own.about_to_write([FILE])
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(list(Fate.__dataclass_fields__))
    writer.writerows(vars(row).values() for row in rows)
    write_atomic(root / FILE, made.getvalue())
    own.wrote([FILE])


def summary(rows: list[Fate]) -> str:
    """One sentence."""
    told = ", ".join(
        f"{n} {fate.replace('_', ' ')}" for fate, n in Counter(r.fate for r in rows).most_common()
    )
    same = sum(row.clips_same for row in rows)
    there = sum(row.clips_there for row in rows)
    return f"rebuilt from {len(rows)} links: {told}; {same} of {there} clips are the same ({FILE})"
