"""Records and a built corpus for tests: one place that knows how they are made by hand."""

from __future__ import annotations

import dataclasses
import io
import typing
from pathlib import Path
from typing import TypeVar

from manifests import records as rec
from manifests.files import write_atomic
from manifests.sample_json import known
from manifests.shards import ShardSample, read_samples, write_samples
from pipeline.build.publish import publish
from pipeline.config.build_config import BuildConfig
from pipeline.run.ledger import Entry, Result
from pipeline.storage.own_folder import claim
from pipeline.storage.work_files import WorkFiles
from stages.corpus.sharding import ShardsConfig

T = TypeVar("T")
ONE_SHARD = BuildConfig(shards=ShardsConfig(min_per_split=1))
"""Samples lie in one shard for each split, however few they are."""
SAMPLE_VALUES = {str: "a", int: 1, float: 1.5, bool: True}


def blank(kind: type[T], /, **values) -> T:
    """A record whose other fields are empty: "", 0, or null where they may be."""
    empty = {str: "", int: 0, float: 0.0, bool: False}
    hints = typing.get_type_hints(kind)
    return kind(**{f.name: empty.get(hints[f.name]) for f in dataclasses.fields(kind)} | values)


def fetched(video: str, address: Path | str, source: str | None = None, **changes) -> rec.Fetched:
    return rec.Fetched(
        source or f"s{video}",
        video,
        str(address),
        "00",
        1,
        str(address),
        changes.pop("kind", "file"),
        "",
        **changes,
    )


class Built:
    """A corpus whose stages have run: two clips of a second for each of the sources' videos."""

    def __init__(self, root: Path, sources: list[rec.Fetched], address: str | None = None):
        self.root, self.sources = root, sources
        claim(root, "corpus")
        self.files = WorkFiles(root / "work", address)
        videos = sorted({s.video_id for s in sources})
        media = {s.video_id: s.media_path for s in sources}
        self.clips = [self._clip(v, n) for v in videos for n in (0, 1)]
        records = {
            "download": sources,
            "clips": self.clips,
            "probe": [
                blank(
                    rec.Video,
                    video_id=v,
                    media_path=media[v],
                    zero_us=0,
                    audio_start_us=0,
                    duration_us=2_000_000,
                    container="mov",
                    num_frames=50,
                    frame_rate="25",
                )
                for v in videos
            ],
        }
        records["identity"] = [
            blank(
                rec.Identity,
                track_id=f"{v}-t",
                video_id=v,
                shot_id=v,
                embedder="e",
                embedding=[float(i), 1.0],
                num_chips=1,
            )
            for i, v in enumerate(videos)
        ]
        self.entries = {
            stage: {rec.record_id(r): Entry(stage, "u", "k", [Result("i", [r])]) for r in rows}
            for stage, rows in records.items()
        }
        write_atomic(root / "work" / "requests.json", "[]")

    def _clip(self, video: str, number: int) -> rec.Clip:
        name = f"{video}-c{number}"
        buffer = io.BytesIO()
        write_samples(
            buffer, [ShardSample(name, {"json": b'{"text": null}', "face.mp4": name.encode()})]
        )
        write_atomic(self.files.folder / "clips" / f"{name}.tar", buffer.getvalue())
        return blank(
            rec.Clip,
            clip_id=name,
            track_id=f"{video}-t",
            shot_id=video,
            video_id=video,
            start_frame=25 * number,
            end_frame=25 * number + 25,
            num_frames=25,
            audio_start_sample=16000 * number,
            payload_path=f"clips/{name}.tar",
        )

    def publish(self, config: BuildConfig | None = None) -> dict[str, dict]:
        """The samples' `json` by key, as `known` gives it."""
        publish(self.root, self.files, config or BuildConfig(), self.entries, [])
        return {
            sample.key: known(sample.facts)
            for shard in sorted((self.root / "shards").glob("*/*.tar"))
            for sample in read_samples(shard)
        }

    def seal(self) -> str:
        return (self.root / "SHA256SUMS").read_text()


def filled(kind: type[T]) -> T:
    """A record with a value of its type in every field."""
    return kind(
        **{
            name: value_of(hint)
            for name, hint in typing.get_type_hints(kind).items()
            if name in {f.name for f in dataclasses.fields(kind)}
        }
    )


def value_of(hint: object) -> object:
    if typing.get_origin(hint) is list:
        return [value_of(typing.get_args(hint)[0])]
    first = next(iter(typing.get_args(hint)), hint)
    return SAMPLE_VALUES[first if first in SAMPLE_VALUES else hint]
