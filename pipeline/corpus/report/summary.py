"""Numbers and charts of the report, from the manifest tables."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from typing import Any

from manifests.clock import seconds_of
from manifests.corpus import Corpus
from pipeline.corpus.report import charts
from pipeline.run import why

OFFSET_BIN_MS = 40.0
NUM_SEPARATE = 6
"""Sources and speakers that get a histogram of their own: those with most tracks."""


def reasons(corpus: Corpus) -> list[dict[str, Any]]:
    """One row per stage, kind and reason, most frequent first within a stage."""
    return why.grouped(
        corpus.rows("rejects"), corpus.rows("failures"), [row["stage"] for row in corpus.status()]
    )


def overview(corpus: Corpus) -> dict[str, Any]:
    """Cards, sentences and charts."""
    clips, offsets = corpus.rows("clips"), corpus.rows("offsets")
    samples, tracks = corpus.rows("samples"), corpus.rows("tracks")
    published = {s["clip_id"] for s in samples}
    clips = [c for c in clips if c["clip_id"] in published]
    hours = seconds_of(sum(c["num_frames"] for c in clips)) / 3600
    speaker_of = {s["clip_id"]: s["speaker_id"] for s in samples}
    source_s = sum(v["duration_us"] for v in corpus.rows("videos")) / 1e6
    splits = Counter(s["split"] for s in samples)
    length = f"{hours:.2f} h" if hours >= 1 else f"{hours * 60:.1f} min"
    return {
        "lead": f"{len(samples)} clips, {length}, from {source_s / 60:.1f} min of source video.",
        "cards": [
            (len(corpus.rows("sources")), "sources in hand"),
            (len(corpus.rows("videos")), "distinct videos"),
            (len(samples), "clips"),
            (length, "of clips"),
            (len({s["speaker_id"] for s in samples}), "speakers"),
            (len({s["shard"] for s in samples}), "shards"),
        ],
        "sync_sentence": _sync_sentence(offsets),
        "sync_charts": _sync_charts(corpus, offsets),
        "face_charts": [
            charts.histogram([t["median_box_px"] for t in tracks], 20, "px", "Face size"),
            charts.histogram([t["yaw_deg"] for t in tracks], 5, "deg", "Yaw", -60, 60),
            charts.histogram([t["pitch_deg"] for t in tracks], 5, "deg", "Pitch", -60, 60),
            charts.histogram([t["roll_deg"] for t in tracks], 5, "deg", "Roll", -60, 60),
            charts.histogram(
                [c["registration_residual_px"] for c in clips], 0.5, "px", "Registration residual"
            ),
        ],
        "clip_charts": [
            charts.histogram([seconds_of(c["num_frames"]) for c in clips], 0.2, "s", "Clip length"),
            charts.bars(_seconds_by(clips, speaker_of), "Duration per speaker", "s"),
            charts.bars(
                [(k, splits[k]) for k in ("train", "val", "test") if k in splits], "Clips per split"
            ),
        ],
        "split_sentence": corpus.split_sentence(),
    }


def _sync_sentence(offsets: list[dict[str, Any]]) -> str:
    measured = [o["video_lag_ms"] for o in offsets if o["video_lag_ms"] is not None]
    if not measured:
        return f"No offset could be measured on {len(offsets)} tracks."
    centre = statistics.median(measured)
    near = sum(abs(m - centre) <= 40 for m in measured)
    return (
        f"Before correction the video lags the audio by {centre:+.0f} ms in the median; "
        f"{near} of {len(measured)} measured tracks lie within one frame of that, and "
        f"{len(offsets) - len(measured)} of {len(offsets)} tracks are undecided."
    )


def _sync_charts(corpus: Corpus, offsets: list[dict[str, Any]]) -> list[str]:
    def chart(rows: list[dict[str, Any]], title: str) -> str:
        lags = [r["video_lag_ms"] for r in rows if r["video_lag_ms"] is not None]
        return charts.histogram(lags, OFFSET_BIN_MS, "ms", title, -520, 520)

    made = [
        chart(offsets, "Video lag before correction, all tracks"),
        charts.histogram(
            [o["confidence"] for o in offsets if o["confidence"] is not None],
            0.05,
            "probability",
            "Confidence",
        ),
        charts.histogram(
            [
                c["residual_lag_ms"]
                for c in corpus.rows("clips")
                if c["residual_lag_ms"] is not None
            ],
            OFFSET_BIN_MS,
            "ms",
            "Video lag measured again after correction",
            -520,
            520,
        ),
    ]
    speaker = {r["track_id"]: r["speaker_id"] for r in corpus.rows("speakers")}
    for label, name_of in (
        ("source", lambda o: corpus.source_name(o["video_id"])),
        ("speaker", lambda o: speaker.get(o["track_id"])),
    ):
        groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for offset in offsets:
            if (name := name_of(offset)) is not None:
                groups[name].append(offset)
        largest = sorted(groups.items(), key=lambda kv: (-len(kv[1]), kv[0]))[:NUM_SEPARATE]
        made += [chart(rows, f"Video lag, {label} {name}") for name, rows in largest]
    return made


def _seconds_by(clips: list[dict[str, Any]], speaker_of: dict[str, str]) -> list[tuple[str, float]]:
    total: dict[str, float] = defaultdict(float)
    for clip in clips:
        total[speaker_of[clip["clip_id"]]] += seconds_of(clip["num_frames"])
    return sorted(total.items(), key=lambda item: -item[1])[:20]
