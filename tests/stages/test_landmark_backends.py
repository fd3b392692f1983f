"""The mesh's 68 points are where their names say; FAN's crops and heat maps are read rightly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.backends import fan, mesh68, registry, torch_network
from stages.backends.mesh68 import MIRROR_68, VERTICES


def contour(*names: str) -> set[int]:
    module = pytest.importorskip("mediapipe.tasks.python.vision.face_landmarker")
    connections = module.FaceLandmarksConnections
    return {
        v
        for n in names
        for c in getattr(connections, f"FACE_LANDMARKS_{n}")
        for v in (c.start, c.end)
    }


@pytest.mark.parametrize(
    "vertices, names",
    [
        (mesh68.JAW, ("FACE_OVAL",)),
        (mesh68.BROWS, ("LEFT_EYEBROW", "RIGHT_EYEBROW")),
        (mesh68.EYES, ("LEFT_EYE", "RIGHT_EYE")),
        (mesh68.OUTER_LIPS + mesh68.INNER_LIPS, ("LIPS",)),
    ],
)
def test_points_lie_on_the_contours_that_mediapipe_names(vertices, names):
    assert set(vertices) <= contour(*names)


def test_sides_are_not_exchanged():
    """The person's right is the picture's left, where 300-W begins to count."""
    right_eye, left_eye = contour("RIGHT_EYE"), contour("LEFT_EYE")
    assert set(VERTICES[36:42]) <= right_eye and set(VERTICES[42:48]) <= left_eye
    assert set(VERTICES[17:22]) <= contour("RIGHT_EYEBROW")
    assert set(VERTICES[22:27]) <= contour("LEFT_EYEBROW")


def test_the_mapping_is_whole():
    assert len(VERTICES) == len(set(VERTICES)) == 68 and max(VERTICES) < 468
    assert sorted(MIRROR_68) == list(range(68))
    assert all(MIRROR_68[MIRROR_68[i]] == i for i in range(68))


def test_the_mirror_is_face_alignments():
    utils = pytest.importorskip("face_alignment.utils")
    order = utils.shuffle_lr(torch.arange(68)[None, :, None, None])[0, :, 0, 0].tolist()
    assert tuple(order) == MIRROR_68


def test_peaks_are_read_as_face_alignment_reads_them():
    utils = pytest.importorskip("face_alignment.utils")
    maps = torch.rand(3, 68, 64, 64, generator=torch.Generator().manual_seed(0))
    theirs, _, _ = utils.get_preds_fromhm(maps.numpy())
    assert np.allclose(fan.peaks(maps).numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("side", [40, 90, 260])
def test_a_place_in_the_picture_comes_back_from_the_crop(side):
    picture = np.zeros((480, 640, 3), np.uint8)
    x, y = 300, 200
    picture[y - side // 20 : y + side // 20 + 1, x - side // 20 : x + side // 20 + 1] = 255
    box = np.array([x - 0.4 * side, y - 0.5 * side, x + 0.6 * side, y + 0.5 * side])
    centre, crop_side = fan.crop_frame(box)
    crop = torch.from_numpy(fan.cut_crop(picture, centre, crop_side)).float()
    maps = torch.nn.functional.avg_pool2d(crop.permute(2, 0, 1)[None], 4)
    found = fan.to_picture(fan.peaks(maps).numpy()[0], centre, crop_side)
    assert np.abs(found - [x, y]).max() < 1.5 * crop_side / fan.MAP_PX


def test_the_real_network_loads_and_batches(tmp_path, monkeypatch):
    models = pytest.importorskip("face_alignment.models")
    torch.manual_seed(0)
    path = tmp_path / "fan.pth"
    torch.save(models.FAN(4).state_dict(), path)
    monkeypatch.setattr(torch_network, "weights", lambda _: path)
    landmarker = registry.make(registry.LANDMARKERS, "fan_2d")
    picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    boxes = np.array([[50, 50, 150, 150], [20, 40, 90, 110.0]], np.float32)
    points = landmarker.fit(picture, boxes)
    assert points.shape == (2, 68, 2) and points.dtype == np.float32
    assert np.isfinite(points).all()
    assert np.allclose(landmarker.fit(picture, boxes[1:]), points[1:], atol=3)
