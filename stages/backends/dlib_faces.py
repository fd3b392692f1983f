"""The embedded face backends: dlib's HOG detector, 68 points, and ResNet embedding.

Nothing is downloaded: the detector is inside dlib, the two networks are files of the package
`face_recognition_models`, which is located without being imported (its import needs a module
that new Pythons lack). The 68-point model was trained on iBUG 300-W: research use only.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from stages.backends.boxes import HOUSE
from stages.backends.devices import cpu_only
from stages.base import SetupError

CHIP_PX, CHIP_PADDING = 150, 0.25


def model_file(name: str) -> str:
    """Path of a weight file in `face_recognition_models`. Raises SetupError."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise SetupError("the package face_recognition_models is missing; run `make setup`")
    path = Path(spec.origin).parent / "models" / name
    if not path.exists():
        raise SetupError(f"{path} is missing; reinstall face_recognition_models")
    return str(path)


class DlibHog:
    """Frontal and half-turned faces of about 80 px and more."""

    name, version = "dlib_hog", "1"
    min_face_px = 80
    whole_picture, batch_size, batched = False, 1, False
    min_score, keep_score = 0.1, -0.4
    house = HOUSE

    def __init__(self, device: str = "cpu", threshold: float = 0.0) -> None:
        cpu_only(device, self.name)
        self.threshold = threshold

    def setup(self) -> None:
        """Load the detector."""
        _ = self._detector

    @cached_property
    def _detector(self):
        import dlib

        return dlib.get_frontal_face_detector()

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        found = []
        for picture in pictures:
            rectangles, scores, _ = self._detector.run(picture, 0, self.threshold)
            boxes = [[r.left(), r.top(), r.right() + 1, r.bottom() + 1] for r in rectangles]
            found.append((np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)))
        return found


class Dlib68:
    """Regression trees (Kazemi & Sullivan 2014) over 68 points."""

    name, version = "dlib_68", "1"
    in_colour, batched = False, False

    def __init__(self, device: str = "cpu") -> None:
        cpu_only(device, self.name)

    def setup(self) -> None:
        """Load the trees. Raises SetupError."""
        _ = self._predictor

    @cached_property
    def _predictor(self):
        import dlib

        return dlib.shape_predictor(model_file("shape_predictor_68_face_landmarks.dat"))

    def fit(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        import dlib

        points = np.empty((len(boxes), 68, 2), np.float32)
        for i, box in enumerate(boxes):
            left, top, right, bottom = (round(float(v)) for v in box)
            shape = self._predictor(picture, dlib.rectangle(left, top, right - 1, bottom - 1))
            points[i] = [(p.x, p.y) for p in shape.parts()]
        return points


class DlibResNet:
    """128 numbers; dlib's own threshold for one person is 0.6."""

    name, version, chips = "dlib_resnet", "1", "chips"
    same_person_distance = 0.6

    def __init__(self, device: str = "cpu") -> None:
        cpu_only(device, self.name)

    def setup(self) -> None:
        """Load the network. Raises SetupError."""
        _ = self._network

    @cached_property
    def _network(self):
        import dlib

        return dlib.face_recognition_model_v1(
            model_file("dlib_face_recognition_resnet_model_v1.dat")
        )

    def embed(self, chips: np.ndarray) -> np.ndarray:
        if not len(chips):
            return np.zeros((0, 128), np.float32)
        made = [
            np.asarray(self._network.compute_face_descriptor(np.ascontiguousarray(c)))
            for c in chips
        ]
        return np.stack(made).astype(np.float32)


def face_chip(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The aligned face, uint8 [150, 150, 3], from RGB and 68 points in its pixels."""
    import dlib

    low, high = points.min(0), points.max(0)
    parts = dlib.points([dlib.point(round(float(x)), round(float(y))) for x, y in points])
    rectangle = dlib.rectangle(*(round(float(v)) for v in (*low, *high)))
    shape = dlib.full_object_detection(rectangle, parts)
    return dlib.get_face_chip(picture, shape, size=CHIP_PX, padding=CHIP_PADDING)
