"""Detectors of whole pictures in the follower: batches change nothing, people stay apart."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from manifests.weights import download as model_download
from pipeline.cli import main
from pipeline.demo.portraits import load_portraits, render
from stages.backends import registry
from stages.backends.boxes import overlap
from stages.base import SetupError
from stages.faces.chips import face_chips
from stages.faces.detection import FollowConfig, Frame
from stages.faces.following import FaceFollower
from stages.faces.shots import Shots, ShotsConfig
from stages.faces.track_faces import TrackChips, TrackFaces
from stages.faces.tracks import Tracks, TracksConfig
from tests.stages.test_face_backends import ready
from tests.stages.test_one_person import tracks_of


@pytest.fixture(scope="module")
def people():
    return load_portraits()


def moving(person, count: int) -> list[np.ndarray]:
    return [
        render(person, 0.2 + 0.2 * np.sin(i), 1.0, (3.0 * np.sin(i / 9), 0.0, 0.0))
        for i in range(count)
    ]


NO_JUMPS = SimpleNamespace(jumps=[], known_until=lambda frame: True)


def follow(pictures, detector, landmarker, batch_size: int):
    detector.batch_size = batch_size
    follower = FaceFollower(FollowConfig(), detector, landmarker, face_chips, NO_JUMPS)
    for i, picture in enumerate(pictures):
        luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        follower.push(i, luma, lambda p=picture: p)
    follower.finish()
    return follower.take()


def test_the_batch_changes_nothing(people, tmp_path, monkeypatch):
    detector = ready(registry.DETECTORS, "yunet", tmp_path, monkeypatch)
    landmarker = registry.make(registry.LANDMARKERS, "dlib_68")
    pictures = moving(people[0], 42)
    small = {
        i: cv2.resize(p, (200, 200), interpolation=cv2.INTER_AREA)
        for i, p in enumerate(moving(people[1], 42))
    }
    wide = [
        np.concatenate([p, np.pad(small[i], ((0, len(p) - 200), (0, 0), (0, 0)))], 1)
        for i, p in enumerate(pictures)
    ]
    one, many = (follow(wide, detector, landmarker, n) for n in (1, 4))
    assert len(one) == len(many) == 2
    for a, b in zip(one, many, strict=True):
        assert a.frames == b.frames == list(range(42))
        assert np.allclose(np.array(a.boxes), np.array(b.boxes), atol=1e-3)
        assert len(a.mouths) == 42
        assert [c[0] for c in a.chips] == [c[0] for c in b.chips]


def test_frames_without_a_mesh_are_left_out_and_the_face_goes_on(people, tmp_path, monkeypatch):
    detector = ready(registry.DETECTORS, "yunet", tmp_path, monkeypatch)
    mesh = ready(registry.LANDMARKERS, "mediapipe", tmp_path, monkeypatch)
    tracklets = follow(moving(people[0], 30), detector, mesh, 4)
    assert [s.frames for s in tracklets] == [list(range(30))]
    # The same picture without a face in the landmarker's window gives NaN and no frame.
    tracklet = tracklets[0]
    follower = FaceFollower(FollowConfig(), detector, mesh, face_chips, NO_JUMPS)
    grey = np.full((200, 200, 3), 120, np.uint8)
    same = follower._new(tracklet.boxes[-1], 1.0)
    assert follower._add(
        same, Frame(0, grey[..., 0], lambda: grey), np.array([50, 50, 120, 120.0]), 1.0
    )
    empty = follower._new(tracklet.boxes[-1], 1.0)
    assert follower._add(
        empty, Frame(0, grey[..., 0], lambda: grey), np.array([50, 50, 120, 120.0]), 1.0
    )
    assert empty.frames == [] and empty.mouths == []


@pytest.mark.parametrize(
    "detector, landmarks, embedder",
    [("scrfd_500m", "mediapipe", "mobilefacenet"), ("yunet", "dlib_68", "dlib_resnet")],
)
def test_a_cut_between_two_people_never_joins_them(
    detector, landmarks, embedder, people, tmp_path, monkeypatch
):
    for table, name in (
        (registry.DETECTORS, detector),
        (registry.LANDMARKERS, landmarks),
        (registry.EMBEDDERS, embedder),
    ):
        if name not in ("dlib_68", "dlib_resnet"):
            ready(table, name, tmp_path, monkeypatch)
    stages = (
        Shots(ShotsConfig(faces=FollowConfig(detector=detector, landmarks=landmarks))),
        Tracks(TracksConfig(embedder=embedder)),
    )
    for stage in stages:
        stage.setup()
    tracks = tracks_of(moving(people[0], 60) + moving(people[1], 60), tmp_path, stages)
    spans = [(t.start_frame, t.end_frame) for t in tracks]
    assert all(end <= 60 or start >= 60 for start, end in spans)
    assert sum(end - start for start, end in spans) >= 115
    taken = TrackChips.load(tracks[0], tmp_path)
    assert taken.aligned.shape[1:] == (112, 112, 3) and taken.chips.shape[1:] == (150, 150, 3)
    assert len(taken.aligned) == len(taken.chips) == len(taken.embeddings)
    first = [TrackChips.load(t, tmp_path).embeddings.mean(0) for t in (tracks[0], tracks[-1])]
    limit = TracksConfig().join_distance * registry.distance_scale(embedder)
    assert np.linalg.norm(first[0] - first[1]) > limit
    boxes = TrackFaces.load(tracks[0], tmp_path).boxes
    assert overlap(boxes[0], boxes[-1]) > 0.5


def test_a_build_stops_before_any_work_where_weights_are_missing(tmp_path, monkeypatch):
    pytest.importorskip("mediapipe")
    monkeypatch.setenv("YLD_MODEL_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("YLD_MODEL_MIRROR", raising=False)
    file = registry.REGISTRY["blaze_face_short_range.tflite"]
    nobody = dataclasses.replace(file, url="http://127.0.0.1:9/x")
    monkeypatch.setitem(registry.REGISTRY, file.name, nobody)
    monkeypatch.setattr(model_download, "WAIT_S", 0.0)
    stage = Shots(ShotsConfig(faces=FollowConfig(detector="mediapipe")))
    words = rf"blaze_face_short_range.tflite.*127\.0\.0\.1:9.*{tmp_path / 'none'}.*dlib_hog"
    with pytest.raises(SetupError, match=words):
        stage.setup()
    (tmp_path / "x.mp4").touch()
    done = CliRunner().invoke(
        main,
        [
            "build",
            str(tmp_path / "x.mp4"),
            "--out",
            str(tmp_path / "out"),
            "--set",
            "detector=mediapipe",
        ],
    )
    assert done.exit_code == 3 and "yld: blaze_face" in done.output
    assert not (tmp_path / "out").exists()


def test_a_build_names_the_extra_of_a_missing_library(monkeypatch):
    monkeypatch.setitem(registry.LIBRARIES, "s3fd", "no_such_library")
    with pytest.raises(SetupError, match=r"no_such_library .*\.\[no-such-library\]"):
        registry.check_at_hand(registry.DETECTORS, "s3fd")
