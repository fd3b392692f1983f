"""Crops against the published arithmetic, and scores of a real clip against published ones."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from scipy.signal import medfilt

from manifests.media.pictures import iter_frames
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from stages.faces import source_crops as crops
from tests.stages.test_light_asd import SHARED, weights
from tests.synthetic import EventFile, constant_pts_s, write_events


def moving_boxes(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centre = np.cumsum(random.normal(0, 1.5, (count, 2)), 0) + np.float64([30, 22])
    size = 9 + np.cumsum(random.normal(0, 0.3, (count, 2)), 0)
    return np.concatenate([centre - size, centre + size], 1)


def by_padding(frame: np.ndarray, half: float, x: float, y: float) -> np.ndarray:
    """The published way: pad the whole frame, then slice."""
    pad = int(half * 1.8)
    padded = np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), constant_values=110)
    x, y = x + pad, y + pad
    face = padded[int(y - half) : int(y + half * 1.8), int(x - 1.4 * half) : int(x + 1.4 * half)]
    return cv2.resize(face, (224, 224))


def test_squares_are_filtered_as_published():
    boxes = moving_boxes(40)
    squares = crops.smooth_squares(boxes)
    half = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / 2
    assert np.allclose(squares[:, 0], medfilt(half, 13))
    assert np.allclose(squares[:, 1], medfilt((boxes[:, 0] + boxes[:, 2]) / 2, 13))
    assert np.allclose(squares[:, 2], medfilt((boxes[:, 1] + boxes[:, 3]) / 2, 13))


def test_ends_are_repaired_on_request():
    step = np.arange(40)[:, None] * np.float64([1, 0, 1, 0])
    boxes = np.float64([100, 50, 140, 90]) + step
    published, repaired = (crops.smooth_squares(boxes, r)[:, 1] for r in (False, True))
    true = 120 + np.arange(40)
    assert np.array_equal(published[6:-6], true[6:-6])
    assert np.array_equal(repaired[6:-6], true[6:-6])
    assert published[-1] == true[-7]  # six frames behind the face
    assert np.abs(repaired - true).max() <= 3 < np.abs(published - true).max()


@pytest.mark.parametrize("centre", [(40.3, 30.8), (2.0, 3.0), (78.9, 58.1), (40, 59.5)])
def test_a_crop_is_the_padded_frames(centre):
    frame = np.random.default_rng(3).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    for half in (4.2, 9.5, 17.77, 40.0):
        expected = by_padding(frame, half, *centre)
        found = crops.crop(frame, np.array([half, *centre]))
        assert found.shape == (224, 224, 3) and np.array_equal(found, expected)


def test_a_face_outside_the_frame_is_grey():
    frame = np.zeros((60, 80, 3), np.uint8)
    assert (crops.crop(frame, np.array([5.0, -300, 20])) == 110).all()
    assert crops.crop(frame, np.array([0.2, 20, 20])).shape == (224, 224, 3)


def test_crops_of_a_track(tmp_path):
    path = write_events(
        tmp_path / "a.mp4",
        EventFile(constant_pts_s(Fraction(30), 2), [0.5, 1.1], sample_rate=16000),
    )
    video, boxes = open_video(path), moving_boxes(20)
    gaps = boxes.copy()
    gaps[[0, 7, 8, 19]] = np.nan
    filled = crops.fill_boxes(gaps)
    assert np.allclose(filled[7], boxes[6] + (boxes[9] - boxes[6]) / 3)
    assert np.array_equal(filled[0], boxes[1]) and np.array_equal(filled[19], boxes[18])
    found = list(crops.iter_crops(video, path, 13, gaps))
    squares = crops.smooth_squares(filled)
    expected = [crops.crop(f, squares[k - 13]) for k, f in iter_frames(video, path, 13, 33)]
    assert len(found) == 20 and np.array_equal(found, expected)
    gray = crops.gray_crops(video, path, 13, gaps)
    assert gray.shape == (20, 112, 112)
    assert np.array_equal(gray[4], cv2.cvtColor(found[4], cv2.COLOR_RGB2GRAY)[56:168, 56:168])


def test_wrong_boxes_are_named(tmp_path):
    path = write_events(
        tmp_path / "a.mp4", EventFile(constant_pts_s(Fraction(25), 1), [0.5], sample_rate=16000)
    )
    video = open_video(path)
    with pytest.raises(ValueError, match=r"20\.\.30 are not in a video of 25"):
        next(crops.iter_crops(video, path, 20, moving_boxes(10)))
    with pytest.raises(ValueError, match="no frame"):
        next(crops.iter_crops(video, path, 0, np.full((3, 4), np.nan)))
    with pytest.raises(ValueError, match="an area"):
        crops.smooth_squares(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"\[T, 4\]"):
        crops.smooth_squares(np.zeros(4))


@pytest.mark.parametrize(
    "name, mean, first",
    [
        ("talkset", 3.785, [1.356, 1.362, 1.272]),
        ("ava", -0.670, [-2.025, -2.485, -3.100]),
    ],
)
def test_a_real_clip_scores_as_published(name, mean, first):
    network, path = weights(name), SHARED / "data" / "grid_s1" / "bbaf2n.mpg"
    if not path.is_file():
        pytest.skip("real clip bbaf2n.mpg is not here; set YLD_SHARED to the shared folder")
    video = open_video(path)
    boxes = np.tile(np.float32([103, 105, 207, 250]), (74, 1))
    gray = crops.gray_crops(video, path, 0, boxes)
    scores = network.scores(gray, read_audio(video, path), None)
    # Decoders and colour conversion differ from those the figures were taken with.
    assert gray.mean() == pytest.approx(148.10, abs=0.5)
    assert scores.mean() == pytest.approx(mean, abs=0.05)
    assert np.allclose(scores[:3], first, atol=0.05)
