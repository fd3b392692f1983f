"""Faces of a corpus that are like a photo, by the corpus's own embeddings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from manifests.corpus import Corpus
from manifests.plain_words import sentence
from pipeline.config.build_config import BuildConfig, load_config
from pipeline.config.settings import ConfigError
from stages.backends.registry import distance_scale

NEARLY = 1.2
"""Times the limit: tracks as far are shown, and stay."""


@dataclass(frozen=True)
class Match:
    """A track and its distance to a photo, in the unit of dlib_resnet."""

    photo: str
    track_id: str
    video_id: str
    speaker_id: str | None
    distance: float
    limit: float

    @property
    def is_same(self) -> bool:
        return self.distance <= self.limit


def photo_limit(corpus: Corpus, embedder: str, distance: float | None) -> float:
    """How far an embedding of this embedder may be from a photo's: `identity.target_distance` of
    the corpus's config, which is calibrated for photos, in the embedder's own unit."""
    if distance is None:
        distance = config_of(corpus).identity.target_distance
    return distance * distance_scale(embedder)


def of_photo(corpus: Corpus, photo: str, distance: float | None) -> list[Match]:
    """Tracks within NEARLY of the limit, the likest first. Raises PhotoError, SetupError."""
    embedders = sorted({row["embedder"] for row in corpus.rows("identities")})
    speaker_of = {r["track_id"]: r["speaker_id"] for r in corpus.rows("speakers")}
    found = []
    for embedder in embedders:
        vector, scale = embedding_of(photo, embedder), distance_scale(embedder)
        limit = photo_limit(corpus, embedder, distance) / scale
        for row in corpus.rows("identities"):
            if row["embedder"] != embedder:
                continue
            gap = float(np.linalg.norm(np.array(row["embedding"]) - vector)) / scale
            if gap <= NEARLY * limit:
                track = row["track_id"]
                found.append(
                    Match(
                        photo, track, row["video_id"], speaker_of.get(track), round(gap, 4), limit
                    )
                )
    return sorted(found, key=lambda m: (m.distance, m.track_id))


def embedding_of(photo: str, embedder: str) -> np.ndarray:
    """float32 [D]: the one face of a photo. Raises PhotoError, SetupError, and ValueError for an
    embedder of another release."""
    from stages.backends import registry
    from stages.faces.identity import face_embedding

    name, _, version = embedder.rpartition("-")
    try:
        made, _ = registry.ready_embedder(name, "cpu")
    except ValueError as error:
        raise ValueError(f"the corpus was built with {embedder}: {sentence(error)}") from None
    if str(made.version) != version:
        raise ValueError(
            f"the corpus was built with {embedder}, and this yld has {name}-{made.version}, whose "
            "embeddings cannot be compared; build again first"
        )
    return face_embedding(photo, made)


def means_of(
    corpus: Corpus, wanted: Callable[[dict[str, Any]], bool]
) -> dict[tuple[str, str], np.ndarray]:
    """float64 [D]: mean embedding of the tracks that are wanted, by speaker and embedder."""
    speaker_of = {r["track_id"]: r["speaker_id"] for r in corpus.rows("speakers")}
    rows: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for row in corpus.rows("identities"):
        if wanted(row):
            name = speaker_of.get(row["track_id"], row["track_id"])
            rows[name, row["embedder"]].append(row["embedding"])
    return {key: np.array(found).mean(0) for key, found in rows.items()}


def config_of(corpus: Corpus) -> BuildConfig:
    """The settings that a corpus was built with; those of a build where they cannot be read."""
    try:
        return load_config(str(corpus.root / "config.yaml"))
    except (OSError, ConfigError):
        return BuildConfig()
