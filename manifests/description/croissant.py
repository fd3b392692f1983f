"""`dataset.json`: the corpus in Croissant 1.0, as mlcroissant loads, validates and reads it.

What its reader (1.1) can do decides the shape. It joins two tables, but no file sets of one tar,
and looks into no JSON inside a tar: so each kind of member has a record set of its own, whose key
is the clip's id, and the typed facts come from the tables, joined as the record set `samples`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from manifests.columns import values_of
from manifests.description.card_head import NOBODY, terms_of
from manifests.description.datasheet import Owner
from manifests.files import sha256_of
from manifests.records import Fetched, Sample
from manifests.schema import table_schema
from manifests.shards import WIDE_AUDIO, SampleIndex

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The standard's own context (Croissant 1.0, appendix 1): its reader takes no other."""

MEMBERS = {
    "face.mp4": ("video/mp4", "registered face, 256 x 256, 25 fps, H.264, index is time"),
    "audio.flac": ("audio/flac", "16 kHz mono, exactly 640 samples a frame"),
    "landmarks.npy": ("application/octet-stream", "float32 [T, 68, 2], canonical pixels"),
    "json": (
        "application/json",
        "ids, spans, offset, confidence, split, speaker, text, word times",
    ),
}
"""What a sample's members are: media type and description."""
WIDE_MEMBER = (
    "audio/flac",
    "the same sound at the source's own rate, mono, whole samples a frame (clips.wide_audio)",
)

TABLES = ("samples", "clips")
"""Tables that hold nothing of when and where they were made, for `dataset.json` is sealed."""
DATA_TYPES = {"string": "sc:Text", "int64": "cr:Int64", "double": "cr:Float64"}
SETS: dict[str, tuple[str, list[str]]] = {
    "facts": ("json", ["sc:Text"]),
    "faces": ("face.mp4", ["sc:VideoObject"]),
    "sounds": ("audio.flac", ["sc:AudioObject"]),
    # The standard has no type for plain bytes; the reader gives bytes for text.
    "landmarks": ("landmarks.npy", ["sc:DataDownload", "sc:Text"]),
}
"""Record sets of the shards: member and type of its bytes."""
WIDE_SET = {"wide_sounds": (WIDE_AUDIO, ["sc:AudioObject"])}
"""One more of corpora that have it."""
KEY = r"^([^.]+)\..*$"
"""From a file's name its clip."""


def croissant(
    root: Path,
    name: str,
    samples: Sequence[Sample],
    sources: Sequence[Fetched],
    split_sentence: str,
    digest: Callable[[str], str] | None = None,
    num_parts: Mapping[str, int] = MappingProxyType({}),
    owners: Mapping[str, Owner] = NOBODY,
) -> str:
    """The corpus called `name` in Croissant 1.0 JSON-LD; files by path, size and SHA-256, which
    `digest` gives where it is known.

    The shards and tables under `root` must be written before; `num_parts` of tables of several;
    `owners` of videos stand for what their sources do not state.
    """
    digest = digest or (lambda path: sha256_of(root / path))
    shards = sorted(set(values_of(samples, "shard")))
    sets = (SETS | (WIDE_SET if has_wide_audio(root, samples) else {})) if shards else {}
    used = set(values_of(samples, "video_id"))
    licences = sorted({terms_of(s, owners) for s in sources if s.video_id in used})
    return (
        json.dumps(
            {
                "@context": CONTEXT,
                "@type": "sc:Dataset",
                "name": name,
                "conformsTo": "http://mlcommons.org/croissant/1.0",
                "description": f"Talking-face corpus, {len(samples)} clips. {split_sentence}",
                "license": licences or ["not stated"],
                "citeAs": f"{name}, a talking-face corpus of {len(used)} videos, made by yld",
                "version": f"1.{len(shards)}.{len(samples)}",
                "keywords": ["talking face", "audio-visual speech", "WebDataset"],
                "distribution": [
                    *(_file(root, shard, "application/x-tar", digest) for shard in shards),
                    *(_file_set(member, shards) for member, _ in sets.values()),
                    *(_table_file(root, t, digest, num_parts.get(t, 1)) for t in TABLES),
                ],
                "recordSet": [_samples(num_parts), *(_members(s) for s in sets)],
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def has_wide_audio(root: Path, samples: Sequence[Sample]) -> bool:
    """Whether shards of these samples hold sound at the source's own rate. The first sample of
    each shard is asked, for a shard is of one build."""
    for shard in sorted(set(values_of(samples, "shard"))):
        index = SampleIndex.of(root / shard)
        if len(index) and WIDE_AUDIO in index.spans(index.keys[0]):
            return True
    return False


def _table(name: str) -> str:
    return f"manifests/{name}/part-000000.parquet"


def _table_file(
    root: Path, table: str, digest: Callable[[str], str], num_parts: int
) -> dict[str, Any]:
    """One file, or the set of the parts of a table that was appended to."""
    if num_parts == 1:
        return _file(root, _table(table), "application/x-parquet", digest)
    return {
        "@type": "cr:FileSet",
        "@id": f"manifests/{table}",
        "name": f"manifests/{table}",
        "description": f"the table {table} in {num_parts} parts (manifests/SHA256SUMS)",
        "encodingFormat": "application/x-parquet",
        "includes": f"manifests/{table}/part-*.parquet",
    }


def _file(root: Path, path: str, encoding: str, digest: Callable[[str], str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{(root / path).stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": digest(path),
    }


def _file_set(member: str, shards: Iterable[str]) -> dict[str, Any]:
    encoding, doc = WIDE_MEMBER if member == WIDE_AUDIO else MEMBERS[member]
    return {
        "@type": "cr:FileSet",
        "@id": f"members/{member}",
        "name": f"members/{member}",
        "description": doc,
        "encodingFormat": encoding,
        "includes": f"*.{member}",
        "containedIn": [{"@id": shard} for shard in shards],
    }


def _members(name: str) -> dict[str, Any]:
    member, data_types = (SETS | WIDE_SET)[name]
    doc = WIDE_MEMBER[1] if member == WIDE_AUDIO else MEMBERS[member][1]

    def source(file_property: str, **transform: Any) -> dict[str, Any]:
        return {
            "fileSet": {"@id": f"members/{member}"},
            "extract": {"fileProperty": file_property},
            **transform,
        }

    return _record_set(
        name,
        f"{name}/clip_id",
        f"`{member}` of every sample, as bytes.",
        [
            _field(
                name,
                "clip_id",
                "clip, also the sample's key",
                ["sc:Text"],
                source("filename", transform={"regex": KEY}),
            ),
            _field(name, member, doc, data_types, source("content")),
        ],
    )


def _samples(num_parts: Mapping[str, int]) -> dict[str, Any]:
    key, *others = _columns("samples", "samples", num_parts)
    key["references"] = _column("clips", "clip_id", num_parts)
    have = {f["name"] for f in [key, *others]}
    return _record_set(
        "samples",
        "samples/clip_id",
        "What the tables know of every sample: where it stands, "
        "who speaks, what is said, offset and scores.",
        [
            key,
            *others,
            *(f for f in _columns("samples", "clips", num_parts) if f["name"] not in have),
        ],
    )


def _record_set(name: str, key: str, doc: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": doc,
        "key": {"@id": key},
        "field": fields,
    }


def _columns(record_set: str, table: str, num_parts: Mapping[str, int]) -> list[dict[str, Any]]:
    made = []
    for of in table_schema(table):
        doc, unit = (of.metadata[k].decode() for k in (b"doc", b"unit"))
        made.append(
            _field(
                record_set,
                of.name,
                f"{doc} [{unit}]" if unit else doc,
                [DATA_TYPES[str(of.type)]],
                _column(table, of.name, num_parts),
            )
        )
    return made


def _column(table: str, column: str, num_parts: Mapping[str, int]) -> dict[str, Any]:
    place = (
        {"fileObject": {"@id": _table(table)}}
        if num_parts.get(table, 1) == 1
        else {"fileSet": {"@id": f"manifests/{table}"}}
    )
    return {**place, "extract": {"column": column}}


def _field(
    record_set: str, name: str, doc: str, data_types: list[str], source: dict[str, Any]
) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": doc,
        "dataType": data_types if len(data_types) > 1 else data_types[0],
        "source": source,
    }
