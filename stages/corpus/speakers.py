"""Speakers: tracks of one person, within a video and across the corpus.

Assignment is incremental: a speaker, once named, keeps name and tracks when sources are added.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from manifests.ids import hash_id
from manifests.records import Identity, Speaker, col
from stages.backends.registry import distance_scale


@dataclass(frozen=True)
class SpeakersConfig:
    """When two tracks show one person."""

    distance: float = col(
        "mean embedding distance under which tracks are one person, in dlib_resnet's unit",
        at_least=0,
        default=0.42,
    )


def assign_speakers(
    identities: Sequence[Identity],
    config: SpeakersConfig,
    known: Sequence[tuple[Speaker, Identity]] = (),
) -> list[Speaker]:
    """A Speaker for each identity, in the given order.

    New tracks are clustered among themselves by average linkage, then each cluster joins the
    nearest known speaker or becomes a new one, named after its smallest track id. The result
    depends on neither the order nor the number of workers.
    """
    if not identities:
        return []
    order = sorted(range(len(identities)), key=lambda i: identities[i].track_id)
    vectors = np.array([identities[i].embedding for i in order], np.float64)
    limit = config.distance * distance_scale(identities[0].embedder)
    labels = _clusters(vectors, limit)
    centres: dict[str, list[np.ndarray]] = {}
    for speaker, identity in known:
        centres.setdefault(speaker.speaker_id, []).append(np.array(identity.embedding))
    named: dict[int, str] = {}
    for label in sorted(set(labels)):
        members = vectors[labels == label]
        best, best_distance = None, limit
        for name in sorted(centres):
            distance = float(
                np.linalg.norm(members[:, None] - np.array(centres[name])[None], axis=-1).mean()
            )
            if distance < best_distance:
                best, best_distance = name, distance
        first = identities[order[int(np.argmax(labels == label))]].track_id
        named[label] = best or f"spk-{hash_id(first, length=10)}"
    result: dict[int, Speaker] = {}
    for row, i in enumerate(order):
        centre = vectors[labels == labels[row]].mean(0)
        result[i] = Speaker(
            identities[i].track_id,
            identities[i].video_id,
            named[labels[row]],
            round(float(np.linalg.norm(vectors[row] - centre)), 4),
        )
    return [result[i] for i in range(len(identities))]


def named_speakers(identities: Sequence[Identity], names: Mapping[str, str]) -> list[Speaker]:
    """A Speaker for each track whose speaker is known by name, in the given order. The distance is
    to the mean of the name's tracks."""
    by: dict[str, list[Identity]] = defaultdict(list)
    for identity in identities:
        if identity.track_id in names:
            by[names[identity.track_id]].append(identity)
    centres = {
        name: np.array([i.embedding for i in group], np.float64).mean(0)
        for name, group in by.items()
    }
    return [
        Speaker(
            i.track_id,
            i.video_id,
            names[i.track_id],
            round(float(np.linalg.norm(np.array(i.embedding) - centres[names[i.track_id]])), 4),
        )
        for i in identities
        if i.track_id in names
    ]


def _clusters(vectors: np.ndarray, distance: float) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(vectors) == 1:
        return np.ones(1, int)
    if len(vectors) <= 4000:
        return fcluster(linkage(vectors, "average"), distance, "distance")
    # Average linkage needs all pairs; beyond this size leaders stand for their likes.
    leaders: list[np.ndarray] = []
    nearest = np.empty(len(vectors), int)
    for i, vector in enumerate(vectors):
        gaps = np.linalg.norm(np.array(leaders) - vector, axis=1) if leaders else np.array([])
        if len(gaps) and gaps.min() < 0.6 * distance:
            nearest[i] = int(gaps.argmin())
        else:
            nearest[i] = len(leaders)
            leaders.append(vector)
    return _clusters_of_leaders(np.array(leaders), distance)[nearest]


def _clusters_of_leaders(leaders: np.ndarray, distance: float) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(leaders) == 1:
        return np.ones(1, int)
    return fcluster(linkage(leaders, "average"), distance, "distance")
