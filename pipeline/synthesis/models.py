"""From a checkpoint to a model that speaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config.settings import ConfigError, from_mapping
from training.harness.checkpoints import CheckpointError, Description, load_weights
from training.harness.data import Selected, parts_of
from training.harness.speaker import Speaker, VoiceOfFace
from training.models.catalogue import KINDS


def speaker_of(checkpoint: Path, device: str) -> tuple[Speaker, Description]:
    """The model of a weights file, a checkpoint or a training's folder, ready to speak.

    Raises CheckpointError for what is no weights file, no model that speaks, or one that this
    release reads otherwise.
    """
    weights, about = load_weights(checkpoint)
    kind = KINDS.get(about.model)
    if kind is None or not kind.speaks:
        able = ", ".join(name for name, kind in KINDS.items() if kind.speaks)
        raise CheckpointError(
            f"{checkpoint} is a model of {about.model}, which makes no speech; give one of {able} "
            "(`yld train`)"
        )
    return _built(checkpoint, kind.speaker_class, weights, about, device, "speak"), about


def embedder_of(checkpoint: Path, device: str) -> tuple[VoiceOfFace, Description]:
    """The model of a weights file, ready to tell the voice of a face. Raises CheckpointError as
    `speaker_of`."""
    weights, about = load_weights(checkpoint)
    kind = KINDS.get(about.model)
    if kind is None or kind.embedder is None:
        able = ", ".join(name for name, kind in KINDS.items() if kind.embedder is not None)
        raise CheckpointError(
            f"{checkpoint} is a model of {about.model}, which knows no voice of a face; give one "
            f"of {able} (`yld train`)"
        )
    what = "give a voice"
    return _built(checkpoint, kind.embedder_class, weights, about, device, what), about


def _built(
    checkpoint: Path,
    wanted: Any,
    weights: Any,
    about: Description,
    device: str,
    do: str,
) -> Any:
    try:
        return wanted(weights, config_of(about), about.facts, device)
    except (ConfigError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"{checkpoint} is of another release ({about.code_version}): "
            f"{str(error).splitlines()[0]}; train it again, or use that release"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{checkpoint} cannot {do}: {error}") from None


def maker_of(checkpoint: Path) -> dict[str, str]:
    """Which model a file of weights is, after how many steps, and what it knows of itself in words
    (the waveform GAN: its speech encoder), for signatures. Raises CheckpointError."""
    _, about = load_weights(checkpoint)
    facts = {name: value for name, value in about.facts.items() if isinstance(value, str)}
    return {"made_by": f"{about.model} {about.preset}, {about.step} steps", **facts}


def learnt_parts(about: Description, corpora: Sequence[str]) -> tuple[Selected, ...]:
    """The clips of these corpora that a model of `about` learns from, by its own settings: what it
    was judged by is not among them. Raises ValueError where there are none."""
    config = config_of(about)
    return parts_of(list(corpora), config.data, KINDS[about.model].wanted(config)).learnt


def config_of(about: Description) -> Any:
    """A trained model's settings as its own class. Raises ConfigError for another release's."""
    return from_mapping(type(next(iter(KINDS[about.model].presets.values()))()), about.config)
