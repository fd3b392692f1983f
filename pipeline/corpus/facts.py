"""What the card says in numbers (`manifests.description.datasheet`), counted from a corpus's tables
as they lie there."""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from manifests.corpus import Corpus
from manifests.description.datasheet import PARTS, Facts, Lags, Owner, Part
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
    """Of the corpus at `root`, whose tables must be there; counted in Arrow, so that a million
    clips take some hundred MB. Raises CorpusError of `Corpus`."""
    corpus = Corpus(root)
    samples = corpus.arrow("samples", OF_SAMPLE)
    clips = corpus.arrow("clips", OF_CLIP)
    clips = clips.filter(pc.is_in(clips["clip_id"], value_set=_values(samples["clip_id"])))
    place = pc.index_in(samples["clip_id"], value_set=_values(clips["clip_id"]))
    frames = pc.fill_null(_values(clips["num_frames"]).cast(pa.int64()).take(place), 0)
    samples = samples.append_column("frames", frames)
    of_speaker = samples.group_by("speaker_id").aggregate([("frames", "sum")])
    return Facts(
        parts=_parts(samples),
        clip_frames=array("q", clips["num_frames"].to_pylist()),
        speaker_frames=of_speaker["frames_sum"].to_pylist(),
        named_speakers=sum(
            not name.startswith(CLUSTERED) for name in of_speaker["speaker_id"].to_pylist()
        ),
        before=_known(clips, "video_lag_ms"),
        after=_known(clips, "residual_lag_ms"),
        corrected=sum(lag != 0 for lag in clips["applied_lag_ms"].to_pylist()),
        estimators=_among(corpus, "offsets", "track_id", "estimator", clips["track_id"]),
        texts=Counter(text or "none" for text in clips["text_source"].to_pylist()),
        source_s=_source_s(corpus, samples["video_id"]),
        sites=_sites(corpus, samples["video_id"]),
        corpora=_corpora(corpus),
        owners=_owners(corpus),
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


def _values(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _parts(samples: pa.Table) -> list[Part]:
    of = {name: samples.filter(pc.equal(samples["split"], name)) for name in PARTS}
    return [
        Part(
            name,
            len(rows),
            pc.sum(rows["frames"]).as_py() or 0,
            pc.count_distinct(rows["speaker_id"]).as_py(),
            pc.count_distinct(rows["video_id"]).as_py(),
        )
        for name, rows in {**of, "all": pa.concat_tables(of.values())}.items()
    ]


def _known(clips: pa.Table, column: str) -> Lags:
    return Lags(array("d", clips[column].drop_null().to_pylist()), len(clips))


def _among(
    corpus: Corpus, table: str, key: str, column: str, wanted: pa.ChunkedArray
) -> Counter[str]:
    """How often each value of `column` stands in rows whose `key` is one of those `wanted`."""
    rows = corpus.arrow(table, (key, column))
    rows = rows.filter(pc.is_in(rows[key], value_set=_values(pc.unique(wanted))))
    return Counter(rows[column].to_pylist())


def _source_s(corpus: Corpus, videos: pa.ChunkedArray) -> float:
    rows = corpus.arrow("videos", ("video_id", "duration_us"))
    rows = rows.filter(pc.is_in(rows["video_id"], value_set=pc.unique(videos)))
    return (pc.sum(rows["duration_us"]).as_py() or 0) / 1e6


def _sites(corpus: Corpus, videos: pa.ChunkedArray) -> Counter[str]:
    wanted = set(pc.unique(videos).to_pylist())
    rows = corpus.columns("sources", ("video_id", "extractor", "kind"))
    return Counter(_site(extractor, kind) for v, extractor, kind in rows if v in wanted)


def _site(extractor: str | None, kind: str) -> str:
    named = extractor if extractor and extractor.lower() != "generic" else None
    return named or {"file": "files", "link": "links", "member": "videos in shards"}.get(kind, kind)


def _corpora(corpus: Corpus) -> dict[str, str]:
    names = sorted({name for (name,) in corpus.columns("hints", ("corpus",))})
    return {CORPORA[n].title: CORPORA[n].licence for n in names if n in CORPORA}


def _owners(corpus: Corpus) -> dict[str, Owner]:
    """Of videos that come from one published corpus alone, where its owners state their terms."""
    of_request: dict[str, set[str]] = defaultdict(set)
    for request, name in corpus.columns("hints", ("request_id", "corpus")):
        of_request[request].add(name)
    if not of_request:
        return {}
    request_of = dict(corpus.columns("expanded", ("source_id", "request_id")))
    of_video: dict[str, set[str | None]] = defaultdict(set)
    for video, source in corpus.columns("sources", ("video_id", "source_id")):
        of_video[video] |= of_request.get(request_of.get(source, ""), set()) or {None}
    known = {
        name: Owner(c.title, c.licence, c.media_licence)
        for name, c in CORPORA.items()
        if c.media_licence is not None
    }
    alone = {video: next(iter(names)) for video, names in of_video.items() if len(names) == 1}
    return {video: known[name] for video, name in alone.items() if name in known}


def _fallen(corpus: Corpus) -> list[tuple[str, str, str, int]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for table, kind in (("rejects", "judged"), ("failures", "broke")):
        for stage, reason in corpus.columns(table, ("stage", "reason")):
            counts[stage, kind, reason] += 1
    return [(*key, n) for key, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))]
