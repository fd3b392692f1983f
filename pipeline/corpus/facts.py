"""What the card says in numbers (`manifests.description.datasheet`), counted from a corpus's tables
as they lie there."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from manifests.corpus import Corpus
from manifests.description.datasheet import PARTS, Facts, Lags, Part
from manifests.links import is_private
from pipeline.config.build_config import BuildConfig
from pipeline.config.settings import flat, to_mapping
from stages.sources.corpora.catalogue import CORPORA

CLUSTERED = "spk-"
"""Begins the ids of speakers whom nobody named."""
OWN_PATH = re.compile(r"(^|[:,\s])(~|/|[A-Za-z]:\\)")
OF_CLIP = (
    "clip_id",
    "track_id",
    "num_frames",
    "video_lag_ms",
    "residual_lag_ms",
    "residual_status",
    "applied_lag_ms",
    "text_source",
)


def facts_of(root: Path) -> Facts:
    """Of the corpus at `root`, whose tables must be there. Raises CorpusError of `Corpus`."""
    corpus = Corpus(root)
    samples = {s[0]: s[1:] for s in corpus.columns("samples", OF_SAMPLE)}
    clips = [
        dict(zip(OF_CLIP, row, strict=True))
        for row in corpus.columns("clips", OF_CLIP)
        if row[0] in samples
    ]
    frames = {clip["clip_id"]: clip["num_frames"] for clip in clips}
    of_speaker: dict[str, int] = defaultdict(int)
    for clip_id, (_, speaker, _) in samples.items():
        of_speaker[speaker] += frames.get(clip_id, 0)
    videos = {video for video, _, _ in samples.values()}
    tracks = {clip["track_id"] for clip in clips}
    return Facts(
        parts=_parts(samples, frames),
        clip_frames=list(frames.values()),
        speaker_frames=list(of_speaker.values()),
        named_speakers=sum(not name.startswith(CLUSTERED) for name in of_speaker),
        before=_known(clips, "video_lag_ms"),
        after=_known(clips, "residual_lag_ms"),
        corrected=sum(clip["applied_lag_ms"] != 0 for clip in clips),
        estimators=Counter(
            name
            for track, name in corpus.columns("offsets", ("track_id", "estimator"))
            if track in tracks
        ),
        texts=Counter(clip["text_source"] or "none" for clip in clips),
        source_s=sum(
            us for v, us in corpus.columns("videos", ("video_id", "duration_us")) if v in videos
        )
        / 1e6,
        sites=Counter(
            _site(extractor, kind)
            for v, extractor, kind in corpus.columns("sources", ("video_id", "extractor", "kind"))
            if v in videos
        ),
        corpora=_corpora(corpus),
        fallen=_fallen(corpus),
        settings={name: str(value) for name, value in changed_settings(root).items()},
        version=version("yld-corpora"),
    )


OF_SAMPLE = ("clip_id", "video_id", "speaker_id", "split")


def changed_settings(root: Path) -> dict[str, Any]:
    """Settings that differ from a build's own, by `group.key`, without those that are private and
    those that hold a path of this machine."""
    path = root / "config.yaml"
    if not path.is_file():
        return {}
    had = dict(flat(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    default = dict(flat(to_mapping(BuildConfig())))
    return {
        name: value
        for name, value in sorted(had.items())
        if value != default.get(name) and not is_private(name) and not OWN_PATH.search(str(value))
    }


def _parts(samples: Mapping[str, tuple], frames: Mapping[str, int]) -> list[Part]:
    rows: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for clip_id, (video, speaker, split) in samples.items():
        rows[split].append((clip_id, video, speaker))
    rows["all"] = [row for part in PARTS for row in rows[part]]
    return [
        Part(
            name,
            len(of),
            sum(frames.get(clip_id, 0) for clip_id, _, _ in of),
            len({speaker for _, _, speaker in of}),
            len({video for _, video, _ in of}),
        )
        for name, of in ((name, rows[name]) for name in (*PARTS, "all"))
    ]


def _known(clips: list[dict[str, Any]], column: str) -> Lags:
    return Lags([c[column] for c in clips if c[column] is not None], len(clips))


def _site(extractor: str | None, kind: str) -> str:
    named = extractor if extractor and extractor.lower() != "generic" else None
    return named or {"file": "files", "link": "links", "member": "videos in shards"}.get(kind, kind)


def _corpora(corpus: Corpus) -> dict[str, str]:
    names = sorted({name for (name,) in corpus.columns("hints", ("corpus",))})
    return {CORPORA[n].title: CORPORA[n].licence for n in names if n in CORPORA}


def _fallen(corpus: Corpus) -> list[tuple[str, str, str, int]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for table, kind in (("rejects", "judged"), ("failures", "broke")):
        for stage, reason in corpus.columns(table, ("stage", "reason")):
            counts[stage, kind, reason] += 1
    return [(*key, n) for key, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))]
