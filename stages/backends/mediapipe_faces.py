"""MediaPipe's FaceDetector (BlazeFace) and FaceLandmarker (mesh of 478), Tasks API, on the CPU.

BlazeFace: Bazarevsky et al. 2019 (arXiv 1907.05047), the short-range model: large faces.
Face mesh: Kartynnik et al. 2019 (arXiv 1907.06724). Both files are Apache-2.0. Each picture
stands for itself (image mode), so the order of calls changes nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from stages.backends.boxes import HouseBox
from stages.backends.devices import cpu_only, need
from stages.backends.mesh68 import VERTICES
from stages.backends.weights import weights
from stages.base import SetupError

EXTRA = "mediapipe"
CROP_SIDES, CROP_PX = 2.0, 256
"""The landmarker is shown a square of so many sides of the face's square, at so many px."""


def _task(kind: str, weights_name: str, **options: Any) -> Any:
    """A task of the class `kind`. Raises SetupError."""
    vision = need("mediapipe.tasks.python.vision", EXTRA)
    core = need("mediapipe.tasks.python.core.base_options", EXTRA)
    path = weights(weights_name)
    try:
        made = getattr(vision, f"{kind}Options")(
            base_options=core.BaseOptions(model_asset_path=str(path)), **options
        )
        task = getattr(vision, kind).create_from_options(made)
    except (RuntimeError, ValueError, OSError) as error:
        raise SetupError(f"{path} cannot be opened by MediaPipe: {error}") from error
    # Kept for the life of the process: MediaPipe's finalizer fails when Python shuts down first.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
    return task


def _image(picture: np.ndarray) -> Any:
    import mediapipe

    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    return mediapipe.Image(
        image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture)
    )


class MediaPipeDetector:
    """BlazeFace, short range."""

    name, version = "mediapipe", "1"
    weights_name = "blaze_face_short_range.tflite"
    whole_picture, batch_size, batched = True, 8, False
    side_px = 640
    min_score, keep_score = 0.5, 0.3
    house = HouseBox(-0.045, 0.98)

    def __init__(self, device: str = "cpu") -> None:
        cpu_only(device, "the detector mediapipe")
        self.threshold = self.keep_score
        self._network: Any = None

    def setup(self) -> None:
        """Open the task. Raises SetupError."""
        if self._network is None:
            self._network = _task(
                "FaceDetector", self.weights_name, min_detection_confidence=self.keep_score
            )

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        self.setup()
        found = []
        for picture in pictures:
            faces = self._network.detect(_image(picture)).detections
            boxes = np.array(
                [
                    [b.origin_x, b.origin_y, b.origin_x + b.width, b.origin_y + b.height]
                    for b in (f.bounding_box for f in faces)
                ],
                np.float32,
            ).reshape(-1, 4)
            scores = np.array([f.categories[0].score for f in faces], np.float32)
            sure = scores >= self.threshold
            found.append((boxes[sure], scores[sure]))
        return found


class MediaPipeMesh:
    """The 478 points of the mesh, of which 68 are taken (`mesh68`)."""

    name, version = "mediapipe", "1"
    weights_name = "face_landmarker_v2_with_blendshapes.task"
    in_colour, batched = True, False
    gathered = 1

    def __init__(self, device: str = "cpu") -> None:
        cpu_only(device, "the landmarker mediapipe")
        self._network: Any = None

    def setup(self) -> None:
        """Open the task. Raises SetupError."""
        if self._network is None:
            self._network = _task(
                "FaceLandmarker",
                self.weights_name,
                num_faces=1,
                min_face_detection_confidence=0.2,
                min_face_presence_confidence=0.2,
            )

    def fit(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        points = np.full((len(boxes), 68, 2), np.nan, np.float32)
        for i, box in enumerate(boxes):
            mesh = self.mesh(picture, box)
            if mesh is not None:
                points[i] = mesh[list(VERTICES)]
        return points

    def mesh(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        """uint8 picture and the face's square xyxy px -> float32 [478, 2] px, or None where no
        mesh fits. Vertices 468-477 are the irises."""
        self.setup()
        side = float(max(box[2] - box[0], box[3] - box[1])) * CROP_SIDES
        if side < 8:
            return None
        centre = (box[:2] + box[2:]) / 2
        scale = CROP_PX / side
        if scale < 0.5:  # warpAffine does not average: shrink by area first
            small = cv2.resize(
                picture, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA
            )
            ratio = np.array([small.shape[1] / picture.shape[1], small.shape[0] / picture.shape[0]])
        else:
            small, ratio = picture, np.ones(2)
        zoom = scale / ratio
        # Pixel centres: crop x = (x - centre) * scale + half, with x of the unshrunk picture.
        shift = (CROP_PX - 1) / 2 - scale * centre + (zoom - scale) / 2
        matrix = np.array([[zoom[0], 0, shift[0]], [0, zoom[1], shift[1]]])
        crop = cv2.warpAffine(
            small,
            matrix,
            (CROP_PX, CROP_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        faces = self._network.detect(_image(crop)).face_landmarks
        if not faces:
            return None
        found = np.array([(p.x, p.y) for p in faces[0]], np.float32) * CROP_PX
        return ((found - CROP_PX / 2) / scale + centre).astype(np.float32)
