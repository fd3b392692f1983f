"""The speech encoder that the paper's authors published with their facial animation code.

The file is a pickle of tensors and plain facts. It is read by torch's restricted reader, which
builds tensors, numbers and texts; beside those it may name what is listed here and nothing else.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manifests.weights.cache import fetch
from training.models.waveform_gan.speech_encoder import (
    FRAMES_PER_S,
    SpeechEncoder,
    SpeechSizes,
    renamed,
)

FACTS = ("audio_rate", "audio_feat_len", "rnn_gen_dim", "aud_enc_dim", "encoder")


def allowed() -> list[Any]:
    """What the file may name beside torch's own: how numpy keeps an array (its mean face)."""
    names: list[Any] = [np.ndarray, np.dtype]
    inner = importlib.import_module("numpy._core.multiarray")
    # Files of numpy 1 name the module by its old place.
    for place in ("numpy._core.multiarray", "numpy.core.multiarray"):
        names += [(getattr(inner, n), f"{place}.{n}") for n in ("_reconstruct", "scalar")]
    return names + [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1")]


def read(path: Path) -> SpeechEncoder:
    """The encoder of a file. Raises ValueError where it is none, or names what it may not."""
    try:
        with torch.serialization.safe_globals(allowed()):
            told = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no such file raises almost anything
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path.name} is not read as tensors and facts: {why}") from None
    return encoder_of(told, path.name)


def encoder_of(told: Mapping[str, Any], name: str) -> SpeechEncoder:
    """Rate, window and sizes are the file's. Raises ValueError for what does not fit."""
    if not isinstance(told, Mapping) or not all(key in told for key in FACTS):
        raise ValueError(f"{name} lacks some of {', '.join(FACTS)}")
    rate, window_s = int(told["audio_rate"]), float(told["audio_feat_len"])
    if rate % FRAMES_PER_S:
        raise ValueError(f"{name}: {rate} samples a second are no whole number a frame")
    state = renamed(told["encoder"])
    if "convolutions.0.weight" not in state:
        raise ValueError(f"{name} has no speech encoder")
    sizes = SpeechSizes(
        rate,
        int(rate * window_s),
        int(told["aud_enc_dim"]),
        int(told["rnn_gen_dim"]),
        len(state["convolutions.0.weight"]),
    )
    encoder = SpeechEncoder(sizes)
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{name}: {str(error).splitlines()[-1].strip()}") from None
    return encoder


def by_name(name: str) -> SpeechEncoder:
    """Of a registered file. Raises `ModelFileError` where it cannot be had, ValueError as above."""
    return read(fetch(name))
