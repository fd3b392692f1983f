"""All that stands beside the shards and tables of a corpus and tells of them, the seals last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manifests import records as rec
from manifests.columns import values_of
from manifests.description.card import card, write_checksums
from manifests.description.croissant import croissant, has_wide_audio
from manifests.files import write_atomic
from pipeline.corpus.facts import facts_of
from pipeline.storage.own_folder import OwnFolder


@dataclass(frozen=True)
class Told:
    """What is told of a corpus."""

    name: str
    samples: Sequence[rec.Sample]
    sources: Sequence[rec.Fetched]
    frozen: Mapping[str, Any]
    """The policy that divides it."""
    sentence: str
    """How it is divided, and why so."""
    left_out: Sequence[str]
    """Clips that are in no part."""
    status: Sequence[Mapping[str, Any]]
    """A row for each stage."""
    parts: Sequence[str]
    """Names of all parts of the tables."""


def describe(own: OwnFolder, told: Told) -> None:
    """Write status, splits, `dataset.json`, card and seals. Shards and tables stand already."""
    root, digest = own.root, own.digests.of
    status = json.dumps({"stages": list(told.status)}, indent=1)
    write_atomic(root / "manifests" / "status.json", status + "\n")
    facts = {**told.frozen, "reason": told.sentence, "left_out_clips": list(told.left_out)}
    write_atomic(root / "manifests" / "splits.json", json.dumps(facts, indent=1) + "\n")
    samples, sources, sentence = told.samples, told.sources, told.sentence
    num_parts = Counter(part.split("/")[1] for part in told.parts)
    counted = facts_of(root)
    write_atomic(
        root / "dataset.json",
        croissant(root, told.name, samples, sources, sentence, digest, num_parts, counted.owners),
    )
    write_atomic(
        root / "README.md",
        card(told.name, samples, sources, sentence, has_wide_audio(root, samples), counted),
    )
    inner = [*(p.removeprefix("manifests/") for p in told.parts), "status.json", "splits.json"]
    write_checksums(root / "manifests", inner, lambda name: digest(f"manifests/{name}"))
    write_checksums(root, [*sorted(set(values_of(samples, "shard"))), "dataset.json"], digest)
