"""Many tracks: the same people as average linkage of all of them, however they are found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from stages.corpus import people
from stages.corpus.speakers import SpeakersConfig, assign_speakers
from tests.stages.test_speakers import identity

LIMIT = 0.42


def crowd(count: int, num_people: int, spread: float, seed: int = 0) -> np.ndarray:
    """Embeddings of people some of whom look alike: chains join many of them."""
    random = np.random.default_rng(seed)
    faces = random.standard_normal((num_people, 128)) * spread
    noise = random.standard_normal((count, 128)) * random.uniform(0.015, 0.03, (count, 1))
    return faces[random.integers(num_people, size=count)] + noise


def same_groups(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one[:, None] == one[None]).__eq__(other[:, None] == other[None]).all())


@pytest.mark.parametrize("most_dense", [people.MOST_DENSE, 3])
@pytest.mark.parametrize("spread", [0.015, 0.025, 0.06])
def test_groups_are_those_of_average_linkage(monkeypatch, spread, most_dense):
    monkeypatch.setattr(people, "MOST_DENSE", most_dense)
    monkeypatch.setattr(people, "BLOCK", 100)
    vectors = crowd(450, 60, spread)
    exact = fcluster(linkage(vectors, "average"), LIMIT, "distance")
    assert 1 < len(set(exact)) < len(vectors)
    found = people.groups(vectors, LIMIT)
    assert same_groups(found, exact)
    firsts = np.unique(found, return_index=True)[1]
    assert (np.diff(firsts) > 0).all(), "groups are numbered by their first members"


def test_the_size_of_a_block_and_of_a_number_does_not_show(monkeypatch):
    vectors = crowd(300, 30, 0.03)
    whole = people.groups(vectors, LIMIT)
    monkeypatch.setattr(people, "BLOCK", 7)
    assert (people.groups(vectors, LIMIT) == whole).all()
    assert (people.groups(vectors + 1.0, LIMIT) == whole).all(), "far from zero"


def test_a_new_group_joins_the_known_person_whose_mean_is_nearest():
    config = SpeakersConfig()
    first = [identity(p, n) for p in range(5) for n in range(3)]
    known = [(s, i) for s, i in zip(assign_speakers(first, config), first, strict=True)]
    more = [identity(p, n) for p in (3, 1, 4) for n in (7, 8)]
    names = {s.track_id.split("x")[0]: s.speaker_id for s, _ in known}
    for speaker in assign_speakers(more, config, known):
        assert speaker.speaker_id == names[speaker.track_id.split("x")[0]]
