"""Numbers and charts of the report, from the manifest tables."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from manifests.clock import seconds_of
from manifests.corpus import Corpus
from manifests.numbers import signed_ms
from manifests.page import charts
from pipeline.corpus.report import made_by

OFFSET_BIN_MS = 40.0
NUM_SEPARATE, WORTH_A_CHART = 6, 20
"""Most sources and speakers that get a histogram of their own, and the fewest measured tracks for
which one says more than the table's centre and spread."""


def overview(corpus: Corpus, settings: dict[str, Any]) -> dict[str, Any]:
    """Cards, sentences and charts."""
    clips, offsets = corpus.rows("clips"), corpus.rows("offsets")
    samples, tracks = corpus.rows("samples"), corpus.rows("tracks")
    published = {s["clip_id"] for s in samples}
    clips = [c for c in clips if c["clip_id"] in published]
    hours = seconds_of(sum(c["num_frames"] for c in clips)) / 3600
    source_s = sum(v["duration_us"] for v in corpus.rows("videos")) / 1e6
    splits = Counter(s["split"] for s in samples)
    length = f"{hours:.2f} h" if hours >= 1 else f"{hours * 60:.1f} min"
    return {
        "lead": f"{len(samples)} clips, {length}, from {source_s / 60:.1f} min of source video.",
        "cards": [
            _counted(len(corpus.rows("sources")), "source", " in hand"),
            _counted(len(corpus.rows("videos")), "distinct video"),
            _counted(len(samples), "clip"),
            (length, "of clips"),
            _counted(len({s["speaker_id"] for s in samples}), "speaker"),
            _counted(len({s["shard"] for s in samples}), "shard"),
        ],
        "sync_sentence": _sync_sentence(offsets),
        "sync_charts": _sync_charts(corpus, offsets),
        "face_charts": _face_charts(tracks, clips, settings),
        "clip_charts": [
            charts.histogram([seconds_of(c["num_frames"]) for c in clips], 0.2, "s", "Clip length"),
            charts.bars(
                [(k, splits[k]) for k in ("train", "val", "test") if k in splits], "Clips per split"
            ),
        ],
        "split_sentence": corpus.split_sentence(),
        "score_charts": _score_charts(clips, settings),
    }


SCORE_BINS = {
    "snr_db": ("Speech over noise", "dB", 2.0, ("min_snr_db",)),
    "bandwidth_hz": ("Bandwidth", "Hz", 250.0, ("min_bandwidth_hz",)),
    "music": ("Music", "steadiness", 0.02, ("max_music",)),
    "speech_share": ("Speech", "share", 0.02, ("min_speech_share",)),
    "sharpness": ("Sharpness", "variance of the Laplacian", 5.0, ("min_sharpness",)),
    "brightness": ("Brightness", "light", 0.02, ("min_brightness", "max_brightness")),
    "dark_share": ("Black", "share of the face", 0.02, ("max_dark_share",)),
    "bright_share": ("White", "share of the face", 0.02, ("max_bright_share",)),
    "dnsmos_ovr": ("DNSMOS, overall", "opinion", 0.1, ("min_dnsmos",)),
    "utmos": ("UTMOS", "opinion", 0.1, ("min_utmos",)),
}
"""Column of clips -> title, unit, width of a bin, thresholds. Pose and size of faces have charts
already."""


def _score_charts(clips: list[dict[str, Any]], settings: dict[str, Any]) -> list[str]:
    """A histogram of each score that some clip has; none of a corpus without any."""
    made: list[str] = []
    if not any(clip.get("music") is not None or clip.get("snr_db") is not None for clip in clips):
        return made
    for column, (title, unit, step, names) in SCORE_BINS.items():
        values = [clip[column] for clip in clips if clip.get(column) is not None]
        limits = [made_by.limit(settings, "thresholds", name) for name in names]
        if values:
            made.append(
                charts.histogram(
                    values, step, unit, title, limits=[x for x in limits if x is not None]
                )
            )
    return made


def _counted(count: int, noun: str, rest: str = "") -> tuple[int, str]:
    return count, f"{noun}{'' if count == 1 else 's'}{rest}"


def _sync_sentence(offsets: list[dict[str, Any]]) -> str:
    measured = [o["video_lag_ms"] for o in offsets if o["video_lag_ms"] is not None]
    if not measured:
        return f"No offset could be measured on {len(offsets)} tracks."
    centre = statistics.median(measured)
    near = sum(abs(m - centre) <= 40 for m in measured)
    return (
        f"Before correction the video lags the audio by {signed_ms(centre)} in the median; "
        f"{near} of {len(measured)} measured tracks lie within one frame of that, and "
        f"{len(offsets) - len(measured)} of {len(offsets)} tracks are undecided."
    )


def _face_charts(
    tracks: list[dict[str, Any]], clips: list[dict[str, Any]], settings: dict[str, Any]
) -> list[str]:
    """What faces are like, with the threshold of each measure drawn in."""

    def limits(stage: str, name: str, both: bool = False) -> list[float]:
        value = made_by.limit(settings, stage, name)
        return [] if value is None else [-value, value] if both else [value]

    angles = [
        charts.histogram(
            [t[f"{n}_deg"] for t in tracks],
            5,
            "deg",
            n.capitalize(),
            -70,
            70,
            limits=limits("identity", f"max_{n}_deg", both=True),
        )
        for n in ("yaw", "pitch", "roll")
    ]
    size = [t["median_box_px"] for t in tracks]
    residual = [c["registration_residual_px"] for c in clips]
    return [
        charts.histogram(size, 20, "px", "Face size", limits=limits("identity", "min_face_px")),
        *angles,
        charts.histogram(
            residual,
            0.5,
            "px",
            "Registration residual",
            limits=limits("clips", "max_residual_px"),
        ),
    ]


def _sync_charts(corpus: Corpus, offsets: list[dict[str, Any]]) -> list[str]:
    confidence = [o["confidence"] for o in offsets if o["confidence"] is not None]
    again = [c["residual_lag_ms"] for c in corpus.rows("clips")]
    made = [
        lag_chart([o["video_lag_ms"] for o in offsets], "Video lag before correction, all tracks"),
        charts.histogram(confidence, 0.05, "probability", "Confidence", 0, 1),
        lag_chart(again, "Video lag measured again after correction"),
    ]
    speaker = {r["track_id"]: r["speaker_id"] for r in corpus.rows("speakers")}
    for label, name_of in (
        ("source", lambda o: corpus.source_name(o["video_id"])),
        ("speaker", lambda o: speaker.get(o["track_id"])),
    ):
        groups: dict[str, list[float]] = defaultdict(list)
        for offset in offsets:
            name = name_of(offset)
            if name is not None and offset["video_lag_ms"] is not None:
                groups[name].append(offset["video_lag_ms"])
        # One group alone is the chart of all tracks once more.
        worth = [g for g in groups.items() if len(g[1]) >= WORTH_A_CHART and len(groups) > 1]
        largest = sorted(worth, key=lambda kv: (-len(kv[1]), kv[0]))[:NUM_SEPARATE]
        made += [lag_chart(lags, f"Video lag, {label} {name}") for name, lags in largest]
    return made


def lag_chart(lags: Sequence[float | None], title: str) -> str:
    """A histogram of lags, with 0 and one frame around it marked."""
    known = [x for x in lags if x is not None]
    return charts.histogram(known, OFFSET_BIN_MS, "ms", title, -520, 520, band=charts.FRAME_MS)
