"""What runs on a GPU, as far as a machine without one can tell.

Half precision is autocast to float16 on the CPU, another device is stood in for by torch's `meta`:
numbers that overflow, are of the wrong kind or lie in the wrong place show; speed does not.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from pipeline.demo.portraits import load_portraits, render
from stages.backends import arcface, fan, registry, torch_detectors, torch_network
from stages.backends.boxes import overlap
from stages.backends.devices import is_lost
from tests.stages.test_face_backends import LIBRARIES, ready, write_state


@pytest.fixture
def float16(monkeypatch):
    for module in (torch_detectors, fan, arcface):
        monkeypatch.setattr(
            module, "half_precision", lambda device: torch.autocast("cpu", torch.float16)
        )


def test_a_released_detector_finds_the_same_faces_in_half_precision(tmp_path, monkeypatch, request):
    pictures = [
        cv2.resize(render(person, 0.2, 1.0, (x, 0.0, 0.0)), (640, 640))
        for person in load_portraits()
        for x in (0.0, 20.0)
    ]
    detector = ready(registry.DETECTORS, "retinaface_mobilenet", tmp_path, monkeypatch)
    detector.threshold = detector.min_score
    whole = detector.detect(pictures)
    request.getfixturevalue("float16")
    half = detector.detect(pictures)
    for (boxes, scores), (true, sure) in zip(half, whole, strict=True):
        assert boxes.dtype == scores.dtype == np.float32
        assert len(boxes) == len(true) == 1 and overlap(boxes[0], true[0]) > 0.9
        assert np.abs(scores - sure).max() < 0.05
        assert not np.array_equal(boxes, true), "float16 was not in use"


@pytest.mark.parametrize("name", ["s3fd", "retinaface_resnet50"])
def test_other_detectors_run_in_half_precision(name, float16, tmp_path, monkeypatch):
    pytest.importorskip(LIBRARIES[name])
    torch.manual_seed(0)
    detector = registry.make(registry.DETECTORS, name)
    network = detector.build()
    with torch.no_grad():
        for key, value in network.named_parameters():
            if "BboxHead" in key or "mbox_loc" in key:
                value *= 0.01  # else exp() of random numbers leaves no box of a finite size
    write_state(tmp_path / "w.pth", network)
    monkeypatch.setattr(torch_network, "weights", lambda _: tmp_path / "w.pth")
    detector.side_px, detector.threshold = 128, 0.0
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    for boxes, scores in detector.detect([picture] * 2):
        assert boxes.dtype == scores.dtype == np.float32 and len(boxes) > 10
        assert np.isfinite(boxes).all() and np.isfinite(scores).all()


def test_landmarks_and_embeddings_run_in_half_precision(float16, tmp_path, monkeypatch):
    models = pytest.importorskip("face_alignment.models")
    arch = pytest.importorskip("facexlib.recognition.arcface_arch")
    torch.manual_seed(0)
    write_state(tmp_path / "fan.pth", models.FAN(4))
    monkeypatch.setattr(torch_network, "weights", lambda _: tmp_path / "fan.pth")
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (200, 200, 3)).astype(np.uint8)
    points = registry.make(registry.LANDMARKERS, "fan_2d").fit(
        picture, np.array([[50, 50, 150, 150.0]], np.float32)
    )
    assert points.dtype == np.float32 and np.isfinite(points).all()
    write_state(tmp_path / "arc.pth", arch.Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se"))
    monkeypatch.setattr(torch_network, "weights", lambda _: tmp_path / "arc.pth")
    chips = random.integers(0, 256, (2, 112, 112, 3)).astype(np.uint8)
    vectors = registry.make(registry.EMBEDDERS, "arcface_facexlib").embed(chips)
    assert vectors.dtype == np.float32 and np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_anchors_and_peaks_are_made_where_the_network_is():
    meta = torch.device("meta")
    retina = registry.make(registry.DETECTORS, "retinaface_mobilenet")
    anchors = sum(-(-128 // s) * -(-160 // s) * 2 for s in (8, 16, 32))
    output = (
        torch.empty(2, anchors, 4, device=meta, dtype=torch.float16),
        torch.empty(2, anchors, 2, device=meta, dtype=torch.float16),
        None,
    )
    boxes, scores = retina.decode(output, 128, 160)
    assert boxes.device == scores.device == meta
    assert boxes.dtype == scores.dtype == torch.float32 and boxes.shape == (2, anchors, 4)
    levels = [
        torch.empty(2, c, 128 // s, 160 // s, device=meta, dtype=torch.float16)
        for s in (4, 8, 16, 32)
        for c in (2, 4)
    ]
    boxes, scores = registry.make(registry.DETECTORS, "s3fd").decode(levels, 128, 160)
    assert boxes.device == scores.device == meta and boxes.dtype == torch.float32
    places = fan.peaks(torch.empty(3, 68, 64, 64, device=meta))
    assert places.device == meta and places.shape == (3, 68, 2)


@pytest.mark.parametrize(
    "error, lost",
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (RuntimeError("CUDA error: out of memory"), False),
        (ValueError("CUDA error"), False),
        (RuntimeError("a bad picture"), False),
    ],
)
def test_a_lost_gpu_is_told_from_other_errors(error, lost):
    assert is_lost(error) is lost
