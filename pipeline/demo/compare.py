"""Planted against measured, the latter read back from the corpus folder alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from manifests.corpus import Corpus
from manifests.numbers import number
from pipeline.demo.programme import Planted

CUT_TOLERANCE_FRAMES, OFFSET_TOLERANCE_MS = 1, 40.0


def compare(corpus: Corpus, planted: Sequence[Planted]) -> list[dict[str, Any]]:
    """Rows of input, what, planted, measured, ok."""
    address_of = {r["request_id"]: r["address"] for r in corpus.rows("requests")}
    request_of = {r["source_id"]: r["request_id"] for r in corpus.rows("expanded")}
    video_of = {
        address_of[request_of[r["source_id"]]]: r["video_id"] for r in corpus.rows("sources")
    }
    rows: list[dict[str, Any]] = []
    speaker_sets: dict[str, set[str]] = defaultdict(set)
    for truth in planted:
        address = next(a for a in address_of.values() if a.endswith(f"/{truth.name}"))
        video = video_of.get(address)
        fate = _fate(corpus, address, video, address_of, request_of)
        rows.append(_row(truth.name, "fate", truth.fate, fate, truth.fate in fate.split(", ")))
        if truth.fate != "clips" or video is None:
            continue
        shots = sorted(
            (s for s in corpus.rows("shots") if s["video_id"] == video),
            key=lambda s: s["start_frame"],
        )
        cuts = [s["start_frame"] for s in shots[1:]]
        near = len(cuts) == len(truth.cuts) and all(
            abs(a - b) <= CUT_TOLERANCE_FRAMES for a, b in zip(cuts, truth.cuts, strict=False)
        )
        rows.append(_row(truth.name, "cuts (frame)", truth.cuts, cuts, near))
        tracks = {t["track_id"]: t for t in corpus.rows("tracks") if t["video_id"] == video}
        speakers = {s["track_id"]: s["speaker_id"] for s in corpus.rows("speakers")}
        for offset in sorted(
            (o for o in corpus.rows("offsets") if o["video_id"] == video),
            key=lambda o: o["track_id"],
        ):
            track = tracks[offset["track_id"]]
            middle = (track["start_frame"] + track["end_frame"]) / 2
            part = sum(middle >= c for c in truth.cuts)
            lag = offset["video_lag_ms"]
            rows.append(
                _row(
                    truth.name,
                    f"video lag of part {part + 1} (ms)",
                    number(truth.offset_ms or 0.0, 0, True),
                    number(lag, 0, True) if lag is not None else offset["offset_status"],
                    lag is not None and abs(lag - truth.offset_ms) <= OFFSET_TOLERANCE_MS,
                )
            )
            speaker_sets[truth.speakers[part]].add(speakers.get(offset["track_id"], "none"))
    for name, found in sorted(speaker_sets.items()):
        others = set().union(*(v for k, v in speaker_sets.items() if k != name))
        rows.append(
            _row(
                "all files",
                f"speaker {name}",
                "an id of its own",
                ", ".join(sorted(found)),
                len(found) == 1 and not found & others,
            )
        )
    return rows


def _row(name: str, what: str, planted: Any, measured: Any, ok: bool) -> dict[str, Any]:
    def text(value: Any) -> str:
        return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)

    return {
        "input": name,
        "what": what,
        "planted": text(planted),
        "measured": text(measured),
        "ok": "yes" if ok else "NO",
    }


def _fate(corpus: Corpus, address: str, video: str | None, address_of, request_of) -> str:
    """`clips`, or the reasons why there is none."""
    if video and any(s["video_id"] == video for s in corpus.rows("samples")):
        return "clips"
    reasons = []
    for row in [*corpus.rows("rejects"), *corpus.rows("failures")]:
        item = row["item_id"]
        belongs = (
            row["video_id"] == video
            if video
            else address in (address_of.get(item), address_of.get(request_of.get(item, "")))
        )
        if belongs or address == address_of.get(request_of.get(item, "")):
            reasons.append(row["reason"])
    return ", ".join(dict.fromkeys(reasons)) or "lost"
