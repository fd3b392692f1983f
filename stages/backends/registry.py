"""Backends by name. A name that is not here is an error that lists those that are."""

from __future__ import annotations

from typing import Any

from stages.backends.dlib_faces import Dlib68, DlibHog, DlibResNet

DETECTORS = {"dlib_hog": DlibHog}
LANDMARKERS = {"dlib_68": Dlib68}
EMBEDDERS = {"dlib_resnet": DlibResNet}


def make(table: dict[str, type], name: str, **arguments: Any) -> Any:
    """An instance of the backend `name`. Raises ValueError naming the choices."""
    if name not in table:
        raise ValueError(f"no backend is named {name!r}; there are: {', '.join(sorted(table))}")
    return table[name](**arguments)
