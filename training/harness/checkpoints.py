"""Checkpoints as folders of tensors and JSON: no pickle, and never half of one.

    step-00000100/weights.safetensors   what is kept of the model, with its description
                  state.safetensors     all else that is needed to go on: optimizers, critics, the
                                        weights as they are beside their average
                  state.json            counts, the loader's place, the figures of the best

A folder is written under another name and renamed. What is written has a checksum, in `state.json`
of the files and in a weights file of its tensors: bytes that changed since are told, not trained
from. `load_weights` reads a model's file, from a checkpoint or `best.safetensors`, wherever it was
copied to.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialized
from torch import Tensor

from manifests.files import sha256_of, write_atomic
from manifests.plain_words import sentence
from training.harness.system import System

VERSION = 1
WEIGHTS, STATE, PLAIN = "weights.safetensors", "state.safetensors", "state.json"
OWN_NAMES = (WEIGHTS, STATE, PLAIN)
DIGEST = "yld_tensors"
"""Metadata of a weights file: `digest` of its tensors."""
_NAME = re.compile(r"step-(\d{8})")


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Description:
    """What a weights file says of itself; all of it JSON."""

    model: str
    preset: str
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    data: Mapping[str, Any]
    """The loader's state: which corpora, by name, size and checksums."""
    step: int
    code_version: str

    def to_metadata(self) -> dict[str, str]:
        """Safetensors keeps texts."""
        return {"yld_model": json.dumps({"version": VERSION, **self.__dict__})}


def save_weights(path: Path, system: System, about: Description) -> None:
    """The judged network's weights and what they are, at once or not at all."""
    write_atomic(path, _weights_of(system, about))


def _weights_of(system: System, about: Description) -> bytes:
    tensors = _plain(system.judged.state_dict())
    return serialized(tensors, {**about.to_metadata(), DIGEST: digest(tensors)})


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names and values, whatever their order."""
    made = hashlib.sha256()
    for name in sorted(tensors):
        made.update(name.encode() + b"\0")
        made.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()


def load_weights(path: Path) -> tuple[dict[str, Tensor], Description]:
    """Tensors and description of a weights file. Raises CheckpointError."""
    path = weights_path(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            told = json.loads(metadata.get("yld_model", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as weights: {sentence(error)}") from None
    if not isinstance(told, dict) or told.pop("version", None) != VERSION:
        raise CheckpointError(f"{path} holds no model of `yld train`; give best.safetensors")
    if DIGEST in metadata and digest(tensors) != metadata[DIGEST]:  # older files have none
        raise CheckpointError(f"{path} is damaged: its weights are not those that were written")
    try:
        return tensors, Description(**told)
    except TypeError as error:
        raise CheckpointError(f"{path} describes its model in another way: {error}") from None


def weights_path(path: Path) -> Path:
    """The file itself; of a checkpoint its weights, of a run its best, or else its last."""
    if not path.is_dir():
        return path
    for inner in (path / WEIGHTS, path / "best.safetensors"):
        if inner.is_file():
            return inner
    if (last := last_checkpoint(path / "checkpoints")) is not None:
        return last / WEIGHTS
    raise CheckpointError(f"{path} holds no weights; train with `yld train MODEL --out {path}`")


def unchosen(path: Path) -> str | None:
    """What to say of the weights that `load_weights` takes of a run that has chosen none."""
    if not path.is_dir() or (path / WEIGHTS).is_file() or (path / "best.safetensors").is_file():
        return None
    return (
        f"{path}: its training has chosen no weights yet; those of its last checkpoint are taken, "
        "of which a part may not be trained"
    )


def checkpoints_in(folder: Path) -> list[Path]:
    """Whole checkpoints, the oldest first."""
    if not folder.is_dir():
        return []
    whole = (p for p in folder.iterdir() if _NAME.fullmatch(p.name) and (p / PLAIN).is_file())
    return sorted(whole, key=lambda p: p.name)


def last_checkpoint(folder: Path) -> Path | None:
    """The one to go on from."""
    found = checkpoints_in(folder)
    return found[-1] if found else None


def save(folder: Path, system: System, about: Description, plain: Mapping[str, Any]) -> Path:
    """Write the checkpoint of a system's step below `folder`; one that is there stays."""
    target = folder / f"step-{system.step:08d}"
    if target.is_dir():
        return target
    part = folder / f".{target.name}.{os.getpid()}.part"
    _remove(part)
    part.mkdir(parents=True)
    (part / WEIGHTS).write_bytes(_weights_of(system, about))
    tensors, groups = _optimizers(system)
    tensors |= {f"system.{n}": t for n, t in _plain(_beside(system)).items()}
    (part / STATE).write_bytes(serialized(tensors))
    told = {"version": VERSION, "parts_done": system.parts_done, "groups": groups, **plain}
    told["sha256"] = {name: sha256_of(part / name) for name in (WEIGHTS, STATE)}
    (part / PLAIN).write_text(json.dumps(told, indent=1))
    for name in OWN_NAMES:
        _sync(part / name)
    part.rename(target)
    _sync(folder)
    return target


def restore(path: Path, system: System) -> dict[str, Any]:
    """Put a checkpoint into a system whose optimizers are made; gives what `save` was told."""
    told = read_plain(path)
    try:
        for name, written in told.get("sha256", {}).items():  # checkpoints of older releases: none
            if name in (WEIGHTS, STATE) and sha256_of(path / name) != written:
                raise ValueError(f"{name} holds other bytes than were written")
        weights, state = load_file(path / WEIGHTS), load_file(path / STATE)
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from None
    system.parts_done = told["parts_done"]
    system.judged.load_state_dict(weights)
    beside = {n.removeprefix("system."): t for n, t in state.items() if n.startswith("system.")}
    missing = system.load_state_dict(beside, strict=False)
    if missing.unexpected_keys:
        raise CheckpointError(f"{path} is of another model: it has {missing.unexpected_keys[0]}")
    for player, optimizer in system.own_optimizers().items():
        _fill(optimizer, player, state, told["groups"][player])
    return told


def read_plain(path: Path) -> dict[str, Any]:
    """A checkpoint's counts and what `save` was told. Raises CheckpointError."""
    try:
        told = json.loads((path / PLAIN).read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(told, dict) or told.get("version") != VERSION:
        raise CheckpointError(f"{path} is not a checkpoint of this release; move it away")
    return told


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    is_first = not any(other.name < path.name for other in checkpoints_in(path.parent))
    remedy = "begin anew, for there is none before" if is_first else "go on from the one before"
    return CheckpointError(f"{path} cannot be read: {sentence(error)}; move it away to {remedy}")


def prune(folder: Path, keep: int) -> None:
    """Remove the oldest checkpoints but `keep`; whatever else lies in one stays, and so does it."""
    for old in checkpoints_in(folder)[:-keep]:
        _remove(old)


def _beside(system: System) -> dict[str, Tensor]:
    """All of a system's tensors but those of its weights file."""
    prefix = "network." if system.average is None else "average.module."
    return {n: t for n, t in system.state_dict().items() if not n.startswith(prefix)}


def _optimizers(system: System) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors as `optimizer.PLAYER.PARAMETER.NAME`, and the groups' numbers."""
    tensors: dict[str, Tensor] = {}
    groups: dict[str, Any] = {}
    for player, optimizer in system.own_optimizers().items():
        state = optimizer.state_dict()
        groups[player] = state["param_groups"]
        for number, values in state["state"].items():
            for name, value in values.items():
                tensors[f"optimizer.{player}.{number}.{name}"] = torch.as_tensor(value)
    return _plain(tensors), groups


def _fill(
    optimizer: torch.optim.Optimizer, player: str, state: Mapping[str, Tensor], groups: Any
) -> None:
    prefix = f"optimizer.{player}."
    values: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.startswith(prefix):
            number, _, field = name.removeprefix(prefix).partition(".")
            values.setdefault(int(number), {})[field] = tensor
    optimizer.load_state_dict({"state": values, "param_groups": groups})


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}


def _remove(folder: Path) -> None:
    """A folder of ours, with no name in it that `save` does not write."""
    if folder.is_dir() and {p.name for p in folder.iterdir()} <= set(OWN_NAMES):
        shutil.rmtree(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
