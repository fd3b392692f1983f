"""Weights as others released them, read as tensors only."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from manifests.weights.cache import unusable


def read_state(path: Path | str) -> dict[str, Any]:
    """The tensors of a released file by name; nothing in it is executed.

    Raises ModelFileError, with what to do, for a file that holds anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        RuntimeError,
        pickle.UnpicklingError,
        AttributeError,
        EOFError,
        KeyError,
        UnicodeDecodeError,
    ) as error:
        raise unusable(path, "it holds no weights that can be read") from error
    if not isinstance(state, dict):
        raise unusable(path, f"it holds a {type(state).__name__}, not weights by name")
    return state
