"""The weights that Vid2Speech's authors published for GRID's speaker 2, as Keras keeps them.

The file is HDF5, read by h5py: arrays and names, nothing that runs. It holds the network alone;
means and deviations are measured on a corpus of the same speaker (`tools/convert_vid2speech.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.models.vid2speech.config import Vid2SpeechShape
from training.models.vid2speech.network import STAGES, Vid2Speech

NAME = "vid2speech_s2.hdf5"


@dataclass(frozen=True)
class Published:
    """A network of the file's sizes, and its tensors by our names."""

    shape: Vid2SpeechShape
    state: dict[str, Tensor]


def read(path: Path) -> Published:
    """Sizes are the file's. Raises ValueError where it is no such file, ImportError without
    h5py."""
    try:
        import h5py
    except ImportError:
        raise ImportError(
            "Keras's files are read by h5py: pip install 'yld-corpora[keras]', or h5py"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            top = file.get("model_weights", file)
            backend = _text(file.attrs.get("backend", b"tensorflow"))
            layers = [_arrays(top[_text(name)]) for name in top.attrs["layer_names"]]
    except (OSError, KeyError) as error:
        raise ValueError(f"{path.name} is not read as weights of Keras: {error}") from None
    return converted([found for found in layers if found], path.name, backend == "theano")


def _arrays(group: object) -> list[np.ndarray]:
    names = group.attrs["weight_names"]  # type: ignore[attr-defined]
    return [np.asarray(group[_text(name)], np.float32) for name in names]  # type: ignore[index]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def converted(
    layers: Sequence[Sequence[np.ndarray]], name: str = "weights", flipped: bool = False
) -> Published:
    """Arrays of each layer that has some, in their order: convolutions and dense layers (weight,
    bias), batch norms (gain, bias, mean, variance). `flipped`: kernels are those of a true
    convolution (Theano's). Raises ValueError for what is another network."""
    wanted = 2 * (sum(len(channels) for channels, _ in STAGES) + 2) + 1
    if len(layers) != wanted:
        raise ValueError(f"{name} has {len(layers)} layers with weights, not {wanted}")
    shape = _shape_of(layers, name)
    network = Vid2Speech(shape)
    modules = [m for m in network.modules() if next(m.parameters(recurse=False), None) is not None]
    state: dict[str, Tensor] = {}
    names = {module: key for key, module in network.named_modules()}
    for module, arrays in zip(modules, layers, strict=True):
        keys = ("weight", "bias", "running_mean", "running_var")[: len(arrays)]
        for key, array in zip(keys, arrays, strict=True):
            state[f"{names[module]}.{key}"] = torch.from_numpy(_turned(array, key, flipped).copy())
    try:
        missing = network.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:
        raise ValueError(f"{name}: {str(error).splitlines()[-1].strip()}") from None
    if any(not key.endswith("num_batches_tracked") for key in missing):
        raise ValueError(f"{name} has no {missing[0]}")
    return Published(shape, dict(network.state_dict()))


def _turned(array: np.ndarray, key: str, flipped: bool) -> np.ndarray:
    if key != "weight" or array.ndim == 1:
        return array
    if array.ndim == 2:
        return array.T
    # Keras 1 keeps [out, in, row, column] as we do, Keras 2 [row, column, in, out].
    kernel = array if array.shape[2:] == (3, 3) else array.transpose(3, 2, 0, 1)
    return kernel[:, :, ::-1, ::-1] if flipped else kernel


def _shape_of(layers: Sequence[Sequence[np.ndarray]], name: str) -> Vid2SpeechShape:
    """Frames, width and side of the picture, and what the batch norms are of."""
    first, norm, dense = layers[0][0], layers[1][0], layers[-5][0]
    if first.ndim != 4 or norm.ndim != 1 or dense.ndim != 2:
        raise ValueError(f"{name} does not begin with a convolution and a batch norm")
    kernel = _turned(first, "weight", False)
    outputs, frames = kernel.shape[:2]
    last = _turned(layers[2 * sum(len(c) for c, _ in STAGES) - 2][0], "weight", False).shape[0]
    side = round((len(dense) / last) ** 0.5) * 2 ** len(STAGES)
    plain = Vid2SpeechShape(outputs / STAGES[0][0][0], side, frames)
    is_of_channels = len(norm) == outputs
    return plain if is_of_channels else replace(plain, norms="columns")
