"""Batches of several videos: they mix, change no box, and an error stays with its video."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
import torch

from pipeline.demo.portraits import load_portraits, render
from stages.backends import registry, torch_network
from stages.backends.batching import Batcher
from stages.backends.letterbox import letterbox
from stages.backends.sharing import CANVAS_STEP, Sharing
from tests.stages.test_face_backends import ready, write_state

SAME_BOX_PX = 1e-3
"""How far a box may move when its picture is batched with others', px of the picture."""


def together(*works) -> list:
    """What each gives or raises, all in threads of their own. Each is given a function that
    returns once all have called it."""
    outcomes = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def run(i, work):
        try:
            outcomes[i] = work(barrier.wait)
        except Exception as error:
            outcomes[i] = error

    threads = [threading.Thread(target=run, args=x, daemon=True) for x in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread waits for ever"
    return outcomes


def squares(items):
    time.sleep(0.02)
    if any(x < 0 for x in items):
        raise ValueError(f"a negative item among {len(items)}")
    return [x * x for x in items]


def ask(batcher, items, start=lambda: None, calls=1):
    with batcher.video():
        start()
        return [batcher.submit("a", squares, items)[0] for _ in range(calls)]


def test_items_of_several_threads_fill_batches_and_come_back_in_order():
    batcher = Batcher(size=4, wait_s=5.0)
    lists = [[1, 2, 3], [4, 5], [6, 7, 8, 9, 10, 11]]
    found = together(*(lambda start, x=x: ask(batcher, x, start, 5) for x in lists))
    assert found == [[[v * v for v in x]] * 5 for x in lists]
    assert batcher.num_items == 5 * 11 and batcher.num_mixed > 0
    assert batcher.num_batches < 5 * (1 + 1 + 2), "each asked by itself would take so many"


def test_an_error_reaches_only_the_thread_whose_item_raises_it():
    batcher = Batcher(size=8, wait_s=5.0)
    good, bad, other = together(
        lambda start: ask(batcher, [1, 2], start, 3),
        lambda start: ask(batcher, [3, -1], start, 3),
        lambda start: ask(batcher, [4], start, 3),
    )
    assert good == [[1, 4]] * 3 and other == [[16]] * 3
    assert isinstance(bad, ValueError)
    assert ask(batcher, [5]) == [[25]], "the batcher works on"
    assert batcher.num_mixed > 0


def test_a_network_that_loses_results_is_an_error_and_not_a_wait():
    with pytest.raises(ValueError, match="gave 1 results for 2 pictures"):
        Batcher(size=4).submit("a", lambda items: items[:1], [1, 2])


def test_nobody_waits_for_those_who_do_not_ask():
    batcher = Batcher(size=4, wait_s=0.3)
    started = time.monotonic()
    assert ask(batcher, [2]) == [[4]]
    assert time.monotonic() - started < 0.25, "nobody else works on a video"
    with batcher.video():  # a video that is decoded and asks for nothing
        started = time.monotonic()
        assert together(lambda start: ask(batcher, [3], start)) == [[[9]]]
        assert 0.25 < time.monotonic() - started < 2.0


def test_cpu_time_goes_to_the_thread_that_asked():
    def spin(items):
        end = time.thread_time() + 0.05 * len(items)
        while time.thread_time() < end:
            pass
        return items

    batcher = Batcher(size=4, wait_s=1.0)

    def work(start, count):
        with batcher.video():
            start()
            _, network_s = batcher.submit("a", spin, [0] * count)
            return batcher.cpu_s(), network_s

    (one, one_s), (three, three_s) = together(lambda s: work(s, 1), lambda s: work(s, 3))
    assert one == pytest.approx(0.05, rel=0.5) and three == pytest.approx(0.15, rel=0.5)
    assert three_s == pytest.approx(3 * one_s, rel=0.01)


def test_the_shape_of_a_letterbox_depends_on_its_picture_alone():
    for height, width, canvas in (
        (720, 1280, (384, 640)),
        (288, 360, (512, 640)),
        (1920, 1080, (640, 384)),
        (500, 500, (640, 640)),
    ):
        picture = np.zeros((height, width, 3), np.uint8)
        assert letterbox([picture], 640, step=CANVAS_STEP).pictures.shape[1:3] == canvas


@pytest.fixture(scope="module")
def videos():
    """Pictures of four videos: two shapes, two people, different places."""
    made = []
    for i, person in enumerate(load_portraits() * 2):
        pictures = [render(person, 0.1 + 0.05 * k, 1.0, (2.0 * k, 0.0, 0.0)) for k in range(6)]
        size = (448, 448) if i < 2 else (360, 288)
        made.append([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures])
    return made


def shared_boxes(sharing, name, videos, per_call=3):
    def work(start, pictures):
        detector = sharing.detector(name, "cpu")
        detector.threshold = 0.3
        with sharing.video():
            start()
            return [
                f
                for i in range(0, len(pictures), per_call)
                for f in detector.detect(pictures[i : i + per_call])
            ]

    return together(*(lambda start, v=v: work(start, v) for v in videos))


def test_boxes_of_mixed_batches_are_those_of_one_video_alone(videos, tmp_path, monkeypatch):
    alone = ready(registry.DETECTORS, "retinaface_mobilenet", tmp_path, monkeypatch)
    alone.threshold = 0.3
    sharing = Sharing(pictures=4, wait_s=5.0)
    sharing.detector(alone.name, "cpu").setup()
    mixed = shared_boxes(sharing, alone.name, videos)
    assert sharing.batcher.num_mixed >= 2 and sharing.batcher.num_items == 24
    for pictures, found in zip(videos, mixed, strict=True):
        for own in (shared_boxes(sharing, alone.name, [pictures])[0], alone.detect(pictures)):
            for (boxes, scores), (true, sure) in zip(found, own, strict=True):
                assert len(boxes) == len(true) >= 1
                assert np.abs(boxes - true).max() < SAME_BOX_PX
                assert np.abs(scores - sure).max() < 1e-5


def test_a_picture_that_breaks_the_network_costs_its_video_alone(videos, tmp_path, monkeypatch):
    ready(registry.DETECTORS, "retinaface_mobilenet", tmp_path, monkeypatch)
    sharing = Sharing(pictures=8, wait_s=5.0)
    detector = sharing.detector("retinaface_mobilenet", "cpu")
    detector.setup()
    run = detector.network.run

    def fragile(batch, threshold):
        if (batch.pictures.reshape(len(batch.pictures), -1).min(1) == 255).any():
            raise RuntimeError("white is too much")
        return run(batch, threshold)

    monkeypatch.setattr(detector.network, "run", fragile)
    square = np.full((640, 640, 3), 255, np.uint8)
    good, bad, other = shared_boxes(sharing, detector.name, [videos[0], [square] * 6, videos[1]])
    assert isinstance(bad, RuntimeError) and "too much" in str(bad)
    assert [len(boxes) for boxes, _ in good] == [len(b) for b, _ in other] == [1] * 6
    assert sharing.batcher.num_mixed > 0


def test_detectors_of_single_pictures_are_not_shared():
    sharing = Sharing(pictures=4)
    assert sharing.detector("yunet", "cpu") is not sharing.detector("yunet", "cpu")
    assert sharing.detector("dlib_hog", "cpu").batched is False
    one, two = (sharing.detector("s3fd", "cpu") for _ in range(2))
    assert one is not two and one.network is two.network
    with pytest.raises(ValueError, match="no backend is named 'nobody'"):
        sharing.detector("nobody", "cpu")


def test_fan_fits_faces_of_several_videos_as_it_fits_one(tmp_path, monkeypatch):
    models = pytest.importorskip("face_alignment.models")
    torch.manual_seed(0)
    path = tmp_path / "fan.pth"
    write_state(path, models.FAN(4))
    monkeypatch.setattr(torch_network, "weights", lambda _: path)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (200, 200, 3)).astype(np.uint8) for _ in range(2)]
    boxes = np.array([[50, 50, 150, 150], [20, 40, 90, 110.0]], np.float32)
    sharing = Sharing(pictures=3, wait_s=5.0)
    landmarker = sharing.landmarker("fan_2d", "cpu")
    landmarker.setup()

    def work(start, picture):
        own = sharing.landmarker("fan_2d", "cpu")
        with sharing.video():
            start()
            return own.fit(picture, boxes)

    found = together(*(lambda start, p=p: work(start, p) for p in pictures))
    assert sharing.batcher.num_mixed == 1 and sharing.batcher.num_batches == 2
    for picture, points in zip(pictures, found, strict=True):
        # Heat maps of random weights are nearly flat: a peak may move between equal neighbours.
        gaps = np.abs(points - landmarker.network.fit(picture, boxes))
        assert np.median(gaps) < 1e-3 and gaps.max() < 3
