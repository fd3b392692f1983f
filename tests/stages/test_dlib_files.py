"""dlib's weights without dlib: the same numbers as dlib's own code gives."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.demo.portraits import load_portraits, render
from stages.backends import dlib_files
from stages.backends.dlib_faces import Dlib68, DlibHog, DlibResNet, face_chip, model_file
from stages.base import SetupError


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [render(p, 0.2 * i, 1.0, (2.0 * i, 0.0, 0.0)) for i, p in enumerate(load_portraits())]


def dlib_points(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    import dlib

    left, top, right, bottom = (int(v) for v in box)
    shape = PREDICTOR[0](picture, dlib.rectangle(left, top, right - 1, bottom - 1))
    return np.array([(p.x, p.y) for p in shape.parts()])


PREDICTOR: list = []


def test_points_are_dlibs_before_it_rounds(pictures):
    import dlib

    PREDICTOR.append(dlib.shape_predictor(model_file("shape_predictor_68_face_landmarks.dat")))
    trees, random = Dlib68(), np.random.default_rng(3)
    shown, boxes = [], []
    for picture in pictures:
        box = DlibHog().detect([picture])[0][0][0]
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        # The last ones reach beyond the picture, where dlib sees black.
        for shift in (*random.integers(-9, 9, (6, 1)), np.array([-170]), np.array([200])):
            shown.append(grey)
            boxes.append(box + shift)
    expected = np.stack([dlib_points(p, b) for p, b in zip(shown, boxes, strict=True)])
    found = trees.fit_many(shown, np.stack(boxes))
    assert (np.floor(found.astype(float) + 0.5) == expected).mean() > 0.9995
    assert np.abs(found - expected).max() < 0.51
    alone = np.concatenate([trees.fit(p, b[None]) for p, b in zip(shown, boxes, strict=True)])
    assert np.array_equal(alone, found), "points depend on which faces are asked for together"
    colour = trees.fit(pictures[0], boxes[0][None])[0]
    assert (np.floor(colour + 0.5) == dlib_points(pictures[0], boxes[0])).mean() > 0.99


def test_embeddings_are_dlibs(pictures):
    import dlib

    network = dlib.face_recognition_model_v1(
        model_file("dlib_face_recognition_resnet_model_v1.dat")
    )
    trees = Dlib68()
    boxes = [DlibHog().detect([p])[0][0][:1] for p in pictures]
    chips = [face_chip(p, trees.fit(p, b)[0]) for p, b in zip(pictures, boxes, strict=True)]
    expected = np.stack([network.compute_face_descriptor(chip) for chip in chips])
    found = DlibResNet().embed(np.stack(chips))
    assert found.shape == (len(chips), 128) and found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5
    assert DlibResNet().embed(np.zeros((0, 150, 150, 3), np.uint8)).shape == (0, 128)


def written(value: int) -> bytes:
    size = max(1, -(-abs(value).bit_length() // 8))
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def test_rows_of_floats_are_read_whatever_their_length():
    random = np.random.default_rng(1)
    pairs = [
        (int(m), int(e))
        for m, e in zip(
            random.choice([0, 5, -77, 300, -40_000, 9_000_000, -16_000_000], 3000),
            random.integers(-40, 9, 3000),
            strict=True,
        )
    ]
    content = b"".join(written(m) + written(e) for m, e in pairs)
    found = dlib_files._Reader(content).floats(len(pairs))
    assert found.tolist() == [m * 2.0**e for m, e in pairs]


def test_another_file_is_refused(tmp_path, monkeypatch):
    from stages.backends import dlib_faces

    other = tmp_path / "other.dat"
    other.write_bytes(b"\x01\x01" + bytes(4000))
    monkeypatch.setattr(dlib_faces, "model_file", lambda name: str(other))
    monkeypatch.setenv("HOME", str(tmp_path))
    for backend in (Dlib68(), DlibResNet()):
        with pytest.raises(SetupError, match=r"other\.dat is damaged.*reinstall"):
            backend.setup()


def test_what_was_made_once_is_mapped_and_made_again_where_it_is_damaged(tmp_path, monkeypatch):
    from manifests.weights import derived as module

    monkeypatch.setenv("HOME", str(tmp_path))
    made = []

    def make() -> np.ndarray:
        made.append(1)
        return np.arange(7, dtype=np.float32)

    for _ in range(2):
        assert module.derived("numbers", 7, make).tolist() == list(range(7))
    assert len(made) == 1
    (module.derived_folder() / "numbers.npy").write_bytes(b"not an array")
    assert module.derived("numbers", 7, make).tolist() == list(range(7))
    assert len(made) == 2
