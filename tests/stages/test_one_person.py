"""Never two people in one track: cuts, dissolves, and faces that change under the same hair."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from manifests.media.video import open_video
from manifests.records import Reject
from pipeline.demo.portraits import SIZE_PX, load_portraits, render
from pipeline.demo.programme import write_media
from stages.base import Context
from stages.faces.shots import Shots, ShotsConfig
from stages.faces.tracks import Tracks, TracksConfig

CHANGE = 60
"""Frame in the middle of the change."""


@pytest.fixture(scope="module")
def people():
    return load_portraits()


@pytest.fixture(scope="module")
def stages():
    made = Shots(ShotsConfig()), Tracks(TracksConfig())
    for stage in made:
        stage.setup()
    return made


def tracks_of(pictures, folder, stages) -> list:
    path = folder / "change.mp4"
    times = [Fraction(i, 25) for i in range(len(pictures))]
    write_media(path, iter(pictures), times, np.zeros(len(pictures) * 640, np.float32))
    video = open_video(path)
    context = Context(work=folder, name="v", video=video)
    shots = stages[0].process([video], context)[0]
    return [t for o in stages[1].process(shots, context) if not isinstance(o, Reject) for t in o]


@pytest.mark.parametrize(
    "kind, length", [("cut", 0), ("dissolve", 12), ("dissolve", 25), ("face only", 12)]
)
def test_two_people_never_share_a_track(kind, length, people, stages, tmp_path):
    mask = np.zeros((SIZE_PX, SIZE_PX, 1), np.float32)
    cv2.ellipse(mask, (224, 230), (105, 135), 0, 0, 360, 1, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 10)[..., None]
    pictures = []
    for i in range(2 * CHANGE):
        mouth = 0.15 + 0.1 * np.sin(i)
        first, second = (render(p, mouth, 1.0, (0.0, 0.0, 0.0)) for p in people)
        share = np.clip((i - CHANGE + length / 2) / length, 0, 1) if length else float(i >= CHANGE)
        share = share * mask if kind == "face only" else share
        pictures.append((first * (1 - share) + second * share).astype(np.uint8))
    tracks = tracks_of(pictures, tmp_path, stages)
    shared = [
        SimpleNamespace(start=t.start_frame, end=t.end_frame)
        for t in tracks
        if t.start_frame < CHANGE - length / 2 - 1 and t.end_frame > CHANGE + length / 2 + 1
    ]
    assert not shared
    # Doubt costs the frames of the change, not the people.
    kept = sum(t.end_frame - t.start_frame for t in tracks)
    assert kept >= 2 * CHANGE - length - 40


def test_one_person_stays_one_track(people, stages, tmp_path):
    pictures = [
        render(people[0], 0.2 + 0.2 * np.sin(i), 1.0, (3.0 * np.sin(i / 9), 0.0, 0.0))
        for i in range(120)
    ]
    tracks = tracks_of(pictures, tmp_path, stages)
    assert [(t.start_frame, t.end_frame) for t in tracks] == [(0, 120)]
