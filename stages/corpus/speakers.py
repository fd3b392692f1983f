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
from stages.corpus import people


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
    labels = people.groups(vectors, limit)
    members = people.by_label(labels)
    joined = _known_of(vectors, labels, members, known, limit)
    result: dict[int, Speaker] = {}
    for label, rows in enumerate(members):
        first = identities[order[int(rows[0])]].track_id
        name = joined.get(label) or f"spk-{hash_id(first, length=10)}"
        gaps = np.linalg.norm(vectors[rows] - vectors[rows].mean(0), axis=1)
        for row, gap in zip(rows.tolist(), gaps.tolist(), strict=True):
            identity = identities[order[row]]
            result[order[row]] = Speaker(identity.track_id, identity.video_id, name, round(gap, 4))
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


def _known_of(
    vectors: np.ndarray,
    labels: np.ndarray,
    members: Sequence[np.ndarray],
    known: Sequence[tuple[Speaker, Identity]],
    limit: float,
) -> dict[int, str]:
    """The known speaker that each new group joins, by its label: the nearest within `limit`. Only
    those of whom some track is as near are compared."""
    if not known:
        return {}
    there = np.array([identity.embedding for _, identity in known], np.float64)
    names = sorted({speaker.speaker_id for speaker, _ in known})
    number = {name: i for i, name in enumerate(names)}
    whose = np.array([number[speaker.speaker_id] for speaker, _ in known])
    tracks = people.by_label(whose)
    near: set[tuple[int, int]] = set()
    for first, second in people.near_pairs(vectors, there, limit):
        near.update(zip(labels[first].tolist(), whose[second].tolist(), strict=True))
    best: dict[int, tuple[float, str]] = {}
    for label, person in sorted(near):
        distance = people.mean_distance(vectors[members[label]], there[tracks[person]])
        if distance < best.get(label, (limit, ""))[0]:
            best[label] = (distance, names[person])
    return {label: name for label, (_, name) in best.items()}
