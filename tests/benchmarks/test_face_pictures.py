"""Faces are agreed on fairly: nobody votes for itself, relatives do not confirm each other."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import face_pictures as bench
from benchmarks.compare_builds import compare, frames_of
from benchmarks.face_backends import share

FACE, OTHER = [10, 10, 50, 50], [200, 10, 240, 50]


def boxes(*rows) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)


def test_detectors_judge_each_other():
    near = [12, 11, 52, 51]
    found = {
        "dlib_hog": [boxes(FACE), boxes()],
        "scrfd": [boxes(near, OTHER), boxes(FACE)],
        "scrfd_500m": [boxes(near, OTHER), boxes(FACE)],
        "yunet": [boxes(FACE), boxes()],
        "mediapipe": [boxes(), boxes()],
    }
    faces = bench.agree(found, 2)
    assert [(f.shown, sorted(f.boxes)) for f in faces] == [
        (0, ["dlib_hog", "scrfd", "scrfd_500m", "yunet"]),
        (0, ["scrfd", "scrfd_500m"]),
        (1, ["scrfd", "scrfd_500m"]),
    ]
    assert np.allclose(faces[0].square, [11, 10.5, 51, 50.5])
    assert bench.recall(faces, "mediapipe") == (0, 1)
    assert bench.recall(faces, "dlib_hog") == (1, 1)
    assert bench.recall(faces, "scrfd_500m") == (1, 1)  # dlib_hog and yunet say so
    assert bench.alone(faces, "scrfd") == 2 and bench.alone(faces, "yunet") == 0


def test_one_box_belongs_to_one_face():
    found = {"dlib_hog": [boxes(FACE)], "yunet": [boxes(FACE, [14, 10, 54, 50])]}
    faces = bench.agree(found, 1)
    assert sorted(len(f.boxes) for f in faces) == [1, 2]


def test_few_faces_are_not_a_share():
    assert share(5, 9) == "(5 of 9)" and share(9, 10) == "90 % of 10"


def test_pictures_are_drawn_evenly_from_readable_clips(tmp_path):
    from fractions import Fraction

    from pipeline.demo.programme import write_media

    pictures = [np.full((64, 96, 3), 8 * i, np.uint8) for i in range(30)]
    times = [Fraction(i, 25) for i in range(30)]
    write_media(tmp_path / "a.mp4", iter(pictures), times, np.zeros(30 * 640, np.float32))
    (tmp_path / "b.mp4").write_bytes(b"no video")
    (tmp_path / "INDEX.tsv").write_text(
        "path\ttalking\tspeaker\tfrontal_face_share\tsource_repo\n"
        "a.mp4\tno\t\t0.00\tx/y\nb.mp4\tyes\ts\t1.00\tx/y\n"
    )
    shown = list(bench.sample(tmp_path / "INDEX.tsv", 3))
    assert [s.clip for s in shown] == ["a.mp4"] * 3 and not shown[0].has_faces
    levels = [s.pixels.mean() / 8 for s in shown]
    assert levels == pytest.approx([7, 14, 21], abs=2)


def test_builds_are_compared_by_source():
    span = {"start_frame": 10, "end_frame": 30, "registration_residual_px": 5.0}
    assert frames_of([span, {**span, "end_frame": 12}]) == set(range(10, 30))
    a = {
        "x": {
            "faces": 30,
            "clips": [span],
            "frames": set(range(10, 30)),
            "lag": 3.0,
            "measured": 1,
            "residual": 5.0,
        },
        "y": {
            "faces": 0,
            "clips": [],
            "frames": set(),
            "lag": None,
            "measured": 0,
            "residual": None,
        },
    }
    b = {"x": {**a["x"], "frames": set(range(15, 40))}, "z": a["y"], "y": a["y"]}
    rows = compare(a, b)
    assert [r["source"] for r in rows] == ["x", "y"]
    assert rows[0]["of A in B"] == "75 %" and rows[0]["clip frames"] == "20 / 25"
    assert rows[1]["of A in B"] == "-" and rows[1]["lag ms"] == "- / -"
