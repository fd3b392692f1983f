"""Face backends: released weights where at hand, else the loading code with random ones."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipeline.demo.portraits import load_portraits, render
from stages.backends import devices, registry, torch_network
from stages.backends.boxes import HouseBox, overlap
from stages.backends.letterbox import best, letterbox
from stages.base import SetupError
from stages.faces.chips import ARCFACE_POINTS, arcface_chip, five_points

SHARED = Path(os.environ.get("YLD_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared"))
LIBRARIES = registry.LIBRARIES
REAL_DETECTORS = ("retinaface_mobilenet", "scrfd", "scrfd_500m", "mediapipe", "yunet")


def ready(table: dict, name: str, tmp_path: Path, monkeypatch) -> object:
    """The backend with its released weights, or a skip with the reason."""
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name])
    kind = table[name]
    if not (SHARED / "models" / kind.weights_name).is_file():
        pytest.skip(f"{kind.weights_name} is not here; set YLD_SHARED to the shared folder")
    monkeypatch.setenv("YLD_MODEL_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("YLD_MODEL_MIRROR", str(SHARED / "models"))
    made = registry.make(table, name)
    made.setup()
    return made


@pytest.fixture(scope="module")
def portrait():
    person = load_portraits()[0]
    picture = render(person, 0.15, 1.0, (0.0, 0.0, 0.0))
    box = registry.make(registry.DETECTORS, "dlib_hog").detect([picture])[0][0][0]
    points = registry.make(registry.LANDMARKERS, "dlib_68").fit(picture, box[None])[0]
    return picture, box, points


@pytest.mark.parametrize("name", REAL_DETECTORS)
def test_a_released_detector_finds_the_face_where_dlib_does(name, portrait, tmp_path, monkeypatch):
    picture, box, _ = portrait
    detector = ready(registry.DETECTORS, name, tmp_path, monkeypatch)
    detector.threshold = detector.min_score
    wide = np.zeros((400, 1000, 3), np.uint8)
    wide[:, 300:700] = cv2.resize(picture, (400, 400), interpolation=cv2.INTER_AREA)
    scale = 400 / len(picture)
    nobody = np.full((300, 500), 90, np.uint8)
    found = detector.detect([picture, wide, nobody, picture])
    assert [len(boxes) for boxes, _ in found] == [1, 1, 0, 1]
    assert all(scores.shape == (len(boxes),) for boxes, scores in found)
    for (boxes, _), true in (
        (found[0], box),
        (found[3], box),
        (found[1], box * scale + [300, 0, 300, 0]),
    ):
        assert overlap(detector.house.of(boxes)[0], true) > 0.6
    alone = detector.detect([picture])[0][0]
    assert np.abs(alone - found[0][0]).max() < 0.02 * (box[2] - box[0])


def test_mesh_points_lie_where_dlibs_do(portrait, tmp_path, monkeypatch):
    picture, box, points = portrait
    mesh = ready(registry.LANDMARKERS, "mediapipe", tmp_path, monkeypatch)
    eyes = np.linalg.norm(points[42:48].mean(0) - points[36:42].mean(0))
    large = cv2.resize(picture, None, fx=3, fy=3)
    for shown, scale in ((picture, 1), (large, 3), (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 1)):
        found = mesh.fit(shown, np.stack([box * scale, [0, 0, 20, 20]]))
        assert found.shape == (2, 68, 2) and np.isnan(found[1]).all()
        gaps = np.linalg.norm(found[0] / scale - points, axis=1) / eyes
        assert gaps[17:].mean() < 0.08 and gaps[36:48].mean() < 0.06
        shift = (found[0] / scale - points)[17:].mean(0) / eyes
        assert np.abs(shift).max() < 0.05


def test_mobilefacenet_tells_people_apart(tmp_path, monkeypatch):
    embedder = ready(registry.EMBEDDERS, "mobilefacenet", tmp_path, monkeypatch)
    detector = registry.make(registry.DETECTORS, "dlib_hog")
    landmarker = registry.make(registry.LANDMARKERS, "dlib_68")
    chips = []
    for person in load_portraits():
        for mouth, shift in ((0.1, 0.0), (0.4, 4.0)):
            picture = render(person, mouth, 1.0, (shift, 0.0, 0.0))
            points = landmarker.fit(picture, detector.detect([picture])[0][0])[0]
            chips.append(arcface_chip(picture, five_points(points)))
    vectors = embedder.embed(np.stack(chips))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    assert max(distance[0, 1], distance[2, 3]) < embedder.same_person_distance
    assert distance[:2, 2:].min() > embedder.same_person_distance
    assert embedder.embed(np.zeros((0, 112, 112, 3), np.uint8)).shape == (0, 128)


def write_state(path: Path, network: torch.nn.Module, prefix: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({prefix + k: v for k, v in network.state_dict().items()}, path)


@pytest.mark.parametrize("name", ["s3fd", "retinaface_resnet50", "retinaface_mobilenet"])
def test_random_torch_detectors_load_and_batch(name, tmp_path, monkeypatch):
    pytest.importorskip(LIBRARIES[name])
    torch.manual_seed(0)
    detector = registry.make(registry.DETECTORS, name)
    path = tmp_path / "weights.pth"
    network = detector.build()
    with torch.no_grad():
        for key, value in network.named_parameters():
            if "BboxHead" in key or "mbox_loc" in key:
                value *= 0.01  # else exp() of random numbers leaves no box of a finite size
    write_state(path, network, "module.")
    monkeypatch.setattr(torch_network, "weights", lambda _: path)
    # Random scores tie, so what is compared are all boxes, before any is suppressed.
    detector.side_px, detector.threshold, detector.max_overlap = 128, 0.0, 1.0
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (90, 160, 3)).astype(np.uint8) for _ in range(2)]
    together = detector.detect(pictures)
    for picture, (boxes, scores) in zip(pictures, together, strict=True):
        alone = detector.detect([picture])[0]
        assert len(boxes) == len(alone[0]) > 100 and np.isfinite(boxes).all()
        assert np.allclose(np.sort(scores), np.sort(alone[1]), atol=1e-4)
        assert np.allclose(np.sort(boxes, axis=0), np.sort(alone[0], axis=0), atol=0.5)


def test_s3fd_decodes_as_face_alignment_does(tmp_path, monkeypatch):
    module = pytest.importorskip("face_alignment.detection.sfd.detect")
    torch.manual_seed(1)
    detector = registry.make(registry.DETECTORS, "s3fd")
    network = detector.build()
    # Biases towards faces: else nothing passes their fixed threshold of 0.05.
    for part in (network.conv5_3_norm_mbox_conf, network.fc7_mbox_conf):
        torch.nn.init.normal_(part.bias, std=2.0)
    path = tmp_path / "weights.pth"
    write_state(path, network)
    monkeypatch.setattr(torch_network, "weights", lambda _: path)
    picture = np.random.default_rng(1).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    theirs = module.detect(network.eval(), picture, "cpu")[0]
    detector.side_px, detector.threshold, detector.max_overlap = 128, 0.05, 1.0
    boxes, scores = detector.detect([picture])[0]
    theirs = theirs[np.argsort(-theirs[:, 4])]
    assert len(boxes) == len(theirs) > 10
    assert np.allclose(scores, theirs[:, 4], atol=1e-4)
    assert np.abs(boxes.mean(0) - theirs[:, :4].mean(0)).max() < 0.01


def test_retinaface_decodes_as_facexlib_does(portrait, tmp_path, monkeypatch):
    detector = ready(registry.DETECTORS, "retinaface_mobilenet", tmp_path, monkeypatch)
    picture = cv2.resize(portrait[0], (320, 320), interpolation=cv2.INTER_AREA)
    theirs = detector._network.detect_faces(np.ascontiguousarray(picture[..., ::-1]), 0.6, 0.4)
    detector.side_px, detector.threshold = 320, 0.6
    boxes, scores = detector.detect([picture])[0]
    assert len(boxes) == len(theirs) == 1
    assert np.abs(boxes - theirs[:, :4]).max() < 0.01
    assert scores == pytest.approx(theirs[:, 4], abs=1e-5)


def test_scrfd_gives_what_insightface_gives(portrait, tmp_path, monkeypatch):
    detector = ready(registry.DETECTORS, "scrfd_500m", tmp_path, monkeypatch)
    picture = cv2.resize(portrait[0], (640, 640), interpolation=cv2.INTER_AREA)
    theirs, points = detector._network.detect(np.ascontiguousarray(picture[..., ::-1]), (640, 640))
    detector.threshold = 0.5
    boxes, scores, five = detector.detect_points([picture])[0]
    assert len(boxes) == len(theirs) == 1
    assert np.abs(boxes - theirs[:, :4]).max() < 0.01 and np.abs(five - points).max() < 0.01
    assert scores == pytest.approx(theirs[:, 4], abs=1e-5)


def test_a_device_that_is_not_active_is_an_error(monkeypatch, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("a GPU is active here")
    with pytest.raises(SetupError, match="no GPU is active"):
        devices.torch_device("cuda")
    pytest.importorskip("onnxruntime")
    with pytest.raises(SetupError, match="no GPU part"):
        devices.onnx_options("cuda")
    for table in (registry.DETECTORS, registry.LANDMARKERS, registry.EMBEDDERS):
        for name, kind in table.items():
            if name in LIBRARIES:
                pytest.importorskip(LIBRARIES[name])
            with pytest.raises(SetupError, match=r"cuda|CPU alone"):
                kind(device="cuda").setup()
            with pytest.raises(SetupError, match="no device is named 'gpu'"):
                kind(device="gpu").setup()


def test_a_missing_library_names_its_extra():
    with pytest.raises(SetupError, match=r"no_such_library.*\.\[mediapipe\]"):
        devices.need("no_such_library.part", "mediapipe")


def test_weights_are_hostile(tmp_path):
    network = torch.nn.Linear(3, 2)

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    path = tmp_path / "evil.pth"
    torch.save({"weight": Evil()}, path)
    with pytest.raises(SetupError, match="no weights that can be read"):
        devices.load_state(network, path, torch.device("cpu"))
    assert not (tmp_path / "made").exists()
    torch.save({"weight": torch.zeros(5, 5), "bias": torch.zeros(2)}, path)
    with pytest.raises(SetupError, match=r"hold the weights of Linear.*models fetch evil\.pth"):
        devices.load_state(network, path, torch.device("cpu"))


def test_letterbox_and_best_give_picture_pixels():
    tall, wide = np.zeros((200, 100, 3), np.uint8), np.zeros((50, 400), np.uint8)
    batch = letterbox([tall, wide], 160)
    assert batch.pictures.shape == (2, 160, 160, 3)
    assert np.allclose(batch.scales, [0.8, 0.4])
    assert letterbox([tall, tall], 160).pictures.shape == (2, 160, 96, 3)
    assert letterbox([tall, tall], 160, square=True).pictures.shape == (2, 160, 160, 3)
    boxes = torch.tensor(
        [
            [[0, 0, 40, 80], [1, 0, 40, 80], [60, 60, 70, 70]],
            [[8, 8, 16, 16], [0, 0, 40, 80], [60, 60, 70, 70.0]],
        ]
    )
    scores = torch.tensor([[0.7, 0.9, 0.2], [0.5, 0.1, 0.6]])
    found = best(boxes.float(), scores, batch, 0.3, 0.5)
    assert np.allclose(found[0][0], [[1.25, 0, 50, 100]]) and np.allclose(found[0][1], [0.9])
    assert np.allclose(found[1][0], [[150, 150, 175, 175], [20, 20, 40, 40]])
    assert np.allclose(found[1][1], [0.6, 0.5])


def test_no_picture_changes_the_suppression_of_its_neighbours():
    random = np.random.default_rng(3)
    corners = random.uniform(0, 500, (1, 400, 2))
    boxes = torch.tensor(
        np.concatenate([corners, corners + random.uniform(20, 90, (1, 400, 2))], 2)
    ).float()
    scores = torch.tensor(random.uniform(0.3, 1, (1, 400))).float()
    picture = np.zeros((640, 640, 3), np.uint8)
    alone = best(boxes, scores, letterbox([picture], 640), 0.3, 0.4)[0]
    far = torch.full((1, 400, 4), 3e7)  # what a picture of noise may give
    both = best(
        torch.cat([far, boxes]),
        torch.cat([scores, scores]),
        letterbox([picture] * 2, 640),
        0.3,
        0.4,
    )[1]
    assert 100 < len(alone[0]) < 400
    assert np.array_equal(alone[0], both[0]) and np.array_equal(alone[1], both[1])


def test_a_letterbox_keeps_places():
    picture = np.zeros((300, 500, 3), np.uint8)
    picture[90:110, 390:410] = 255
    batch = letterbox([picture], 250)
    y, x = np.argwhere(batch.pictures[0, ..., 0] > 127).mean(0) + 0.5
    assert (x / batch.scales[0], y / batch.scales[0]) == pytest.approx((400, 100), abs=1)


def test_house_boxes_are_fitted_and_applied():
    boxes = np.array([[10, 20, 40, 60], [0, 0, 90, 120.0]])
    fit = HouseBox(0.1, 0.9)
    squares = fit.of(boxes)
    assert np.allclose(squares[:, 2] - squares[:, 0], squares[:, 3] - squares[:, 1])
    assert HouseBox.fit(boxes, squares) == fit
    assert fit.of(np.zeros((0, 4))).shape == (0, 4)


def test_five_points_stand_on_the_template(portrait):
    picture, _, points = portrait
    five, places = five_points(points), []
    for x, y in five:
        marked = np.zeros_like(picture)
        cv2.circle(marked, (round(float(x)), round(float(y))), 6, (255, 0, 0), -1)
        chip = arcface_chip(marked, five)
        assert chip.shape == (112, 112, 3)
        places.append(np.argwhere(chip[..., 0] > 127).mean(0)[::-1])
    gaps = np.array(places) - ARCFACE_POINTS
    assert np.abs(gaps.mean(0)).max() < 0.5 and np.abs(gaps).max() < 6


def test_the_settings_name_what_the_registry_holds():
    from typing import get_args

    from stages.faces.detection import DetectorName, LandmarkerName
    from stages.faces.people import EmbedderName
    from stages.sync.active_speakers import ACTIVE_SPEAKER_DETECTORS
    from stages.sync.estimators import ESTIMATORS
    from stages.sync.offsets import EstimatorName, SpeakerDetectorName

    for names, table in (
        (DetectorName, registry.DETECTORS),
        (EmbedderName, registry.EMBEDDERS),
        (LandmarkerName, registry.LANDMARKERS),
        (EstimatorName, ESTIMATORS),
        (SpeakerDetectorName, ACTIVE_SPEAKER_DETECTORS),
    ):
        assert sorted(get_args(names)) == sorted(table)
