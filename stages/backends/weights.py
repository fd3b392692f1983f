"""Fetched weight files for backends, with the runner's error where one is not to be had."""

from __future__ import annotations

from pathlib import Path

from manifests.weights.cache import ModelFileError, fetch
from stages.base import SetupError


def weights(name: str) -> Path:
    """A registered weight file. Raises SetupError with what to do: the run stops, no item fails."""
    try:
        return fetch(name)
    except ModelFileError as error:
        raise SetupError(str(error)) from error
