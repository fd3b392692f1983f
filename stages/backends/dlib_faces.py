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

from manifests.weights.derived import derived
from stages.backends.boxes import HOUSE
from stages.backends.devices import cpu_only, onnx_session
from stages.backends.dlib_files import Trees, face_network, regression_trees
from stages.backends.regression_trees import TreePoints
from stages.base import SetupError

PACKAGE = "face_recognition_models"
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
    """Regression trees (Kazemi & Sullivan 2014) over 68 points, in parts of pixels.

    dlib's trees, evaluated for many faces at a time (`regression_trees`); dlib itself rounds.
    """

    name, version = "dlib_68", "2"
    in_colour, batched = False, False
    gathered = 32

    def __init__(self, device: str = "cpu") -> None:
        cpu_only(device, self.name)

    def setup(self) -> None:
        """Load the trees. Raises SetupError."""
        _ = self._points

    @cached_property
    def _points(self) -> TreePoints:
        path = model_file("shape_predictor_68_face_landmarks.dat")
        size = Path(path).stat().st_size
        try:
            values = derived(
                f"dlib68-1-{size}",
                Trees.num_values(),
                lambda: regression_trees(Path(path).read_bytes()).flat(),
            )
        except (ValueError, IndexError) as error:
            raise SetupError(f"{path} is damaged ({error}); reinstall {PACKAGE}") from error
        return TreePoints(Trees.of_flat(values))

    def fit(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        return self.fit_many([picture] * len(boxes), boxes)

    def fit_many(self, pictures: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        # Of colours dlib takes the plain mean.
        grey = [p if p.ndim == 2 else (p.sum(2, dtype=np.uint16) // 3) for p in pictures]
        return self._points.fit(grey, boxes)


class DlibResNet:
    """128 numbers; dlib's own threshold for one person is 0.6.

    dlib's network and weights, run by onnxruntime: the same numbers to 1e-5, in a twelfth of the
    time, for the wheel of dlib multiplies matrices without a library for it.
    """

    name, version, chips = "dlib_resnet", "1", "chips"
    same_person_distance = 0.6
    batch_size = 16

    def __init__(self, device: str = "cpu") -> None:
        cpu_only(device, self.name)

    def setup(self) -> None:
        """Load the network. Raises SetupError."""
        _ = self._network

    @cached_property
    def _network(self):
        path = model_file("dlib_face_recognition_resnet_model_v1.dat")
        try:
            network = face_network(Path(path).read_bytes())
        except (ValueError, IndexError) as error:
            raise SetupError(f"{path} is damaged ({error}); reinstall {PACKAGE}") from error
        return onnx_session(network, "cpu")

    def embed(self, chips: np.ndarray) -> np.ndarray:
        made = [np.zeros((0, 128), np.float32)]
        for start in range(0, len(chips), self.batch_size):
            part = chips[start : start + self.batch_size].transpose(0, 3, 1, 2)
            shown = np.ascontiguousarray(part, np.float32)
            made += self._network.run(None, {"chips": shown})
        return np.concatenate(made)


def face_chip(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The aligned face, uint8 [150, 150, 3], from RGB and 68 points in its pixels."""
    import dlib

    low, high = points.min(0), points.max(0)
    parts = dlib.points([dlib.point(round(float(x)), round(float(y))) for x, y in points])
    rectangle = dlib.rectangle(*(round(float(v)) for v in (*low, *high)))
    shape = dlib.full_object_detection(rectangle, parts)
    return dlib.get_face_chip(picture, shape, size=CHIP_PX, padding=CHIP_PADDING)
