"""`dataset.json` (Croissant), the dataset card and `SHA256SUMS`: no dates, no hosts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from manifests.files import sha256_of, write_atomic
from manifests.records import Fetched, Sample

MEMBERS = {
    "face.mp4": ("video/mp4", "registered face, 256 x 256, 25 fps, H.264, index is time"),
    "audio.flac": ("audio/flac", "16 kHz mono, exactly 640 samples a frame"),
    "landmarks.npy": ("application/octet-stream", "float32 [T, 68, 2], canonical pixels"),
    "json": ("application/json", "ids, spans, offset, confidence, split, speaker, text, "
             "word times"),
}


def croissant(root: Path, name: str, samples: Sequence[Sample], split_sentence: str) -> str:
    """The corpus called `name` in Croissant 1.0 JSON-LD; files by path, size and SHA-256."""
    shards = sorted({s.shard for s in samples})
    context = {
        "@vocab": "https://schema.org/", "sc": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/", "dct": "http://purl.org/dc/terms/",
        "conformsTo": "dct:conformsTo", "recordSet": "cr:recordSet", "field": "cr:field",
        "source": "cr:source", "fileSet": "cr:fileSet", "includes": "cr:includes",
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "extract": "cr:extract",
        "fileProperty": "cr:fileProperty", "column": "cr:column",
    }
    return json.dumps({
        "@context": context, "@type": "sc:Dataset", "name": name,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": f"Talking-face corpus, {len(samples)} clips. {split_sentence}",
        "distribution": [
            {"@type": "cr:FileObject", "@id": shard, "name": shard, "contentUrl": shard,
             "contentSize": f"{(root / shard).stat().st_size} B",
             "encodingFormat": "application/x-tar", "sha256": sha256_of(root / shard)}
            for shard in shards
        ] + [{"@type": "cr:FileSet", "@id": "shards", "encodingFormat": "application/x-tar",
              "includes": "shards/*/*.tar"}],
        "recordSet": [{
            "@type": "cr:RecordSet", "@id": "samples", "name": "samples",
            "field": [
                {"@type": "cr:Field", "@id": f"samples/{name}", "name": name,
                 "description": text, "dataType": "sc:Text" if kind == "application/json"
                 else "sc:MediaObject",
                 "source": {"fileSet": {"@id": "shards"},
                            "extract": {"fileProperty": "content"}}}
                for name, (kind, text) in MEMBERS.items()
            ],
        }],
    }, indent=1, ensure_ascii=False) + "\n"


def card(name: str, samples: Sequence[Sample], sources: Sequence[Fetched],
         split_sentence: str) -> str:
    """The corpus's `README.md`: what it is, how to read it, whose faces these are."""
    used = {s.video_id for s in samples}
    licences = Counter(s.licence or "not stated" for s in sources if s.video_id in used)
    consents = Counter(s.consent or "not stated" for s in sources if s.video_id in used)
    members = "\n".join(f"- `{n}`: {text}" for n, (_, text) in MEMBERS.items())
    listing = "\n".join(f"- {n}: {c} sources" for n, c in sorted(licences.items()))
    consent = "\n".join(f"- {n}: {c} sources" for n, c in sorted(consents.items()))
    return f"""# {name}

{len(samples)} clips of {len({s.speaker_id for s in samples})} speakers from {len(used)} videos, \
made by yld. {split_sentence}

## Reading it
WebDataset shards in `shards/`; one sample is one clip of one speaking face:

{members}

Tables about everything that was kept, rejected or failed are in `manifests/` (Parquet), a
summary in `report.html`, checksums in `SHA256SUMS`.

## Licences, as the sources state them
{listing or "- no source"}

## Consent of the persons shown, as stated by who built this
{consent or "- no source"}

Faces and voices are personal data. Ids in the manifests lead from each clip to its video and
link, so that what was built from a person or a video can be found and taken out.
"""


def write_checksums(root: Path, names: Sequence[str]) -> None:
    """`SHA256SUMS` over files by relative name, as `sha256sum -c` reads it."""
    lines = [f"{sha256_of(root / name)}  {name}\n" for name in sorted(names)]
    write_atomic(root / "SHA256SUMS", "".join(lines))
