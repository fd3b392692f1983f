"""From checkpoints to a model that makes faces of sound, and one that sharpens them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.config.settings import ConfigError, from_mapping
from training.harness.animator import Animator, Sharpener
from training.harness.checkpoints import CheckpointError, Description, load_weights
from training.models.catalogue import KINDS, Kind


def animator_of(checkpoint: Path, device: str) -> tuple[Animator, Description]:
    """Of a weights file, a checkpoint or a training's folder.

    Raises CheckpointError for what is no weights file, no model that makes faces of sound, or one
    that this release reads otherwise.
    """
    return _made(checkpoint, device, lambda kind: kind.animator, "makes no face of sound")


def sharpener_of(checkpoint: Path, device: str) -> tuple[Sharpener, Description]:
    """As `animator_of`, for a deblurring network."""
    return _made(checkpoint, device, lambda kind: kind.sharpener, "makes no face sharper")


def _made(
    checkpoint: Path, device: str, role: Callable[[Kind], str | None], lacking: str
) -> tuple[Any, Description]:
    weights, about = load_weights(checkpoint)
    kind = KINDS.get(about.model)
    if kind is None or role(kind) is None:
        able = ", ".join(name for name, kind in KINDS.items() if role(kind) is not None)
        raise CheckpointError(
            f"{checkpoint} is a model of {about.model}, which {lacking}; give one of {able} "
            "(`yld train`)"
        )
    try:
        plain = next(iter(kind.presets.values()))()
        config = from_mapping(type(plain), about.config)
        return kind.animator_class(weights, config, about.facts, device), about
    except (ConfigError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"{checkpoint} is of another release ({about.code_version}): "
            f"{str(error).splitlines()[0]}; train it again, or use that release"
        ) from None
