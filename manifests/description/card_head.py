"""The YAML head of the dataset card, as the Hugging Face Hub and `datasets` read it.

Its features are what makes `load_dataset(FOLDER)` independent of what the first samples hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import yaml

from manifests.columns import values_of
from manifests.description.datasheet import Owner
from manifests.records import Fetched, Sample
from manifests.sample_json import MEMBERS, OPTIONAL, WORD, arrow_name
from manifests.shards import WIDE_AUDIO

NOBODY: Mapping[str, Owner] = MappingProxyType({})
PARTS = ("train", "val", "test")
HUB_LICENCES = frozenset(
    {
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "mit",
        "apache-2.0",
        "pddl",
        "odc-by",
        "odbl",
    }
)
"""Identifiers of the Hub's that a source may state in other spelling (CC BY 4.0)."""
SITE_LICENCES = {"Creative Commons Attribution license (reuse allowed)": "cc-by-3.0"}
"""What sites call a licence of that list."""
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


def card_head(
    name: str,
    samples: Sequence[Sample],
    sources: Sequence[Fetched],
    has_wide: bool = False,
    owners: Mapping[str, Owner] = NOBODY,
) -> str:
    """`---`, YAML, `---`: licence, languages, size, where the shards are, and their features.
    `owners` of videos stand for what their sources do not state."""
    used = set(values_of(samples, "video_id"))
    used_sources = [s for s in sources if s.video_id in used]
    head: dict[str, Any] = {"pretty_name": name}
    head |= licence_of(used_sources, owners)
    if languages := languages_of(used_sources):
        head["language"] = languages
    head |= {
        "task_categories": ["audio-to-audio", "image-to-video"],
        "tags": [
            "talking-face",
            "audio-visual-speech",
            "lip-reading",
            "lip-sync",
            "webdataset",
            "croissant",
        ],
        "size_categories": [
            next((size for most, size in SIZES if len(samples) < most), "100M<n<1B")
        ],
    }
    num_bytes, num_samples = Counter[str](), Counter[str]()
    columns = (values_of(samples, name) for name in ("split", "num_bytes"))
    for part, size in zip(*columns, strict=True):
        num_bytes[part] += size
        num_samples[part] += 1
    parts = [p for p in PARTS if num_samples[p]]
    if parts:
        head["configs"] = [
            {
                "config_name": "default",
                "data_files": [{"split": part, "path": f"shards/{part}/*.tar"} for part in parts],
            }
        ]
        head["dataset_info"] = {
            "features": features(has_wide),
            "splits": [
                {
                    "name": part,
                    "num_bytes": num_bytes[part],
                    "num_examples": num_samples[part],
                }
                for part in parts
            ],
        }
    return "---\n" + yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=100) + "---\n"


def licence_of(sources: Sequence[Fetched], owners: Mapping[str, Owner] = NOBODY) -> dict[str, Any]:
    """The Hub's identifiers where every source, or its corpus's owners, state one; else what is
    true of them all."""
    stated = {s.licence for s in sources if s.licence or s.video_id not in owners}
    told = {owners[s.video_id] for s in sources if not s.licence and s.video_id in owners}
    if not stated - {None, ""} and not told:
        return {"license": "unknown"}
    ids = {_hub_licence(licence or "") for licence in stated}
    ids |= {_hub_licence(owner.licence) for owner in told}
    found = sorted(name for name in ids if name is not None)
    if len(found) == len(ids):
        return {"license": found[0] if len(found) == 1 else found}
    if not stated and len(told) == 1:
        terms = re.sub(r"[^a-z0-9.]+", "-", next(iter(told)).terms.lower()).strip("-")
        return {"license": "other", "license_name": terms}
    return {"license": "other", "license_name": "as-each-source-states"}


def _hub_licence(stated: str) -> str | None:
    name = SITE_LICENCES.get(stated) or re.sub(r"[\s_]+", "-", stated.strip().lower())
    return name if name in HUB_LICENCES else None


def terms_of(source: Fetched, owners: Mapping[str, Owner] = NOBODY) -> str:
    """What a source states, else what the owners of its corpus do."""
    owner = owners.get(source.video_id)
    if source.licence or owner is None:
        return source.licence or "not stated"
    return f"by the corpora's owners: {owner.title}, {owner.terms}"


def languages_of(sources: Sequence[Fetched]) -> list[str]:
    """Languages of the sources' sound, as codes of two or three letters."""
    codes = {re.split(r"[-_]", s.language.lower())[0] for s in sources if s.language}
    return sorted(c for c in codes if re.fullmatch(r"[a-z]{2,3}", c) and c != "und")


def features(has_wide: bool = False) -> list[dict[str, Any]]:
    """A sample's members and types as `datasets` writes them into a card."""
    words = [{"name": name, "dtype": kind} for name, kind in WORD.items()]
    special: dict[str, dict[str, object]] = {"mask": {"list": "bool"}, "words": {"list": words}}
    return [
        {"name": "face.mp4", "dtype": "video"},
        {"name": "audio.flac", "dtype": "audio"},
        *([{"name": WIDE_AUDIO, "dtype": "audio"}] if has_wide else []),
        {"name": "landmarks.npy", "list": {"list": {"list": "float32"}}},
        {
            "name": "json",
            "struct": [
                {"name": name} | (special.get(member.kind) or {"dtype": arrow_name(member.kind)})
                for name, member in sorted(MEMBERS.items())
                if name not in OPTIONAL
            ],
        },
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]
