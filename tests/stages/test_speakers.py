"""Speakers: likes together, others apart, and nothing moves when sources are added."""

from __future__ import annotations

import numpy as np

from manifests.records import Identity
from stages.corpus.speakers import SpeakersConfig, assign_speakers

RANDOM = np.random.default_rng(3)
CENTRES = RANDOM.standard_normal((6, 128)) * 0.06


def identity(person: int, number: int) -> Identity:
    vector = CENTRES[person] + 0.012 * np.random.default_rng([person, number]).standard_normal(128)
    name = f"v{person}x{number}"
    return Identity(f"{name}-s000-t000", name, f"{name}-s000", "test", list(map(float, vector)), 1)


def test_clusters_do_not_depend_on_order_and_do_not_move():
    first = [identity(p, n) for p in range(4) for n in range(5)]
    config = SpeakersConfig()
    named = {s.track_id: s.speaker_id for s in assign_speakers(first, config)}
    assert len(set(named.values())) == 4
    turned = assign_speakers(first[::-1], config)
    assert {s.track_id: s.speaker_id for s in turned} == named
    known = [(s, i) for s, i in zip(assign_speakers(first, config), first, strict=True)]
    more = [identity(0, 9), identity(5, 0)]
    added = assign_speakers(more, config, known)
    assert added[0].speaker_id == named["v0x0-s000-t000"]
    assert added[1].speaker_id not in named.values()


def test_distances_are_in_the_embedders_unit():
    from stages.backends.registry import distance_scale

    assert distance_scale("dlib_resnet") == distance_scale("dlib_resnet-1") == 1.0
    scale = distance_scale("mobilefacenet-1")
    assert scale == distance_scale("mobilefacenet") > 1.5
    far = 0.42 * (1 + scale) / 2
    people = {}
    for name in ("dlib_resnet-1", "mobilefacenet-1"):
        rows = [
            Identity(f"v-s00{i}-t000", "v", f"v-s00{i}", name, [x, 0.0], 1)
            for i, x in enumerate((0.0, far))
        ]
        people[name] = len({s.speaker_id for s in assign_speakers(rows, SpeakersConfig())})
    assert people == {"dlib_resnet-1": 2, "mobilefacenet-1": 1}
