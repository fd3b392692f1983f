"""Backends by name. A name that is not here is an error that lists those that are.

The modules named here import no heavy library: a backend loads what it needs in `setup`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, TypeVar

from manifests.weights.registry import REGISTRY
from stages.backends.arcface import ArcFaceFacexlib, ArcFaceInsight, MobileFaceNet
from stages.backends.devices import missing
from stages.backends.dlib_faces import Dlib68, DlibHog, DlibResNet
from stages.backends.fan import Fan2D
from stages.backends.mediapipe_faces import MediaPipeDetector, MediaPipeMesh
from stages.backends.onnx_detectors import Scrfd, Scrfd500m
from stages.backends.protocols import Detector, Embedder, Landmarker
from stages.backends.torch_detectors import S3FD, RetinaFaceMobileNet, RetinaFaceResNet50
from stages.backends.weights import weights
from stages.backends.yunet import YuNet
from stages.base import SetupError

DETECTORS: dict[str, type[Detector]] = {
    kind.name: kind
    for kind in (
        DlibHog,
        S3FD,
        RetinaFaceResNet50,
        RetinaFaceMobileNet,
        Scrfd,
        Scrfd500m,
        MediaPipeDetector,
        YuNet,
    )
}
LANDMARKERS: dict[str, type[Landmarker]] = {
    kind.name: kind for kind in (Dlib68, Fan2D, MediaPipeMesh)
}
EMBEDDERS: dict[str, type[Embedder]] = {
    kind.name: kind for kind in (DlibResNet, ArcFaceInsight, ArcFaceFacexlib, MobileFaceNet)
}

T = TypeVar("T")
HOUSE_DISTANCE = DlibResNet.same_person_distance
"""The settings' embedding distances are for an embedder with this `same_person_distance`."""


def make(table: Mapping[str, type[T]], name: str, **arguments: Any) -> T:
    """An instance of the backend `name`. Raises ValueError naming the choices."""
    if name not in table:
        raise ValueError(f"no backend is named {name!r}; there are: {', '.join(sorted(table))}")
    return table[name](**arguments)


LIBRARIES = {
    "scrfd": "insightface",
    "scrfd_500m": "insightface",
    "mobilefacenet": "insightface",
    "arcface_insightface": "insightface",
    "retinaface_mobilenet": "facexlib",
    "retinaface_resnet50": "facexlib",
    "arcface_facexlib": "facexlib",
    "s3fd": "face_alignment",
    "fan_2d": "face_alignment",
    "mediapipe": "mediapipe",
}
"""The library of each backend that needs an extra; the extra has its name, with hyphens."""


def check_at_hand(table: Mapping[str, type], name: str) -> None:
    """Before any work: is the library here, and are the weights here or to be fetched?

    Nothing heavy is imported. Raises SetupError.
    """
    library = LIBRARIES.get(name)
    if library and importlib.util.find_spec(library) is None:
        raise SetupError(missing(library, library.replace("_", "-"), "it is not installed"))
    if file := getattr(table.get(name), "weights_name", ""):
        weights(file)


def fingerprint(table: Mapping[str, type], name: str) -> str:
    """Name, version and weights of a backend; a name that is not in the table stands for itself."""
    kind = table.get(name)
    file = REGISTRY.get(getattr(kind, "weights_name", ""))
    parts = [name, getattr(kind, "version", ""), (file.sha256 or file.url)[:16] if file else ""]
    return "-".join(p for p in parts if p)


def distance_scale(embedder: str) -> float:
    """What the settings' embedding distances are multiplied by for this embedder.

    `embedder` may carry a version, as in the records: `dlib_resnet-1`.
    """
    kind = EMBEDDERS.get(embedder) or EMBEDDERS.get(embedder.rpartition("-")[0])
    return 1.0 if kind is None else kind.same_person_distance / HOUSE_DISTANCE


def ready_embedder(name: str, device: str) -> tuple[Embedder, float]:
    """An embedder that is set up, and its `distance_scale`. Raises ValueError, SetupError."""
    embedder = make(EMBEDDERS, name, device=device)
    embedder.setup()
    return embedder, distance_scale(name)
