"""From a model's name, settings and corpora to a trained folder; the same call goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from manifests.media import gpu_span
from manifests.threads import one_thread_for_products
from training.harness.checkpoints import CheckpointError
from training.harness.data import parts_of
from training.harness.fit import fit, write_run
from training.harness.job import Job, Outcome, Say
from training.harness.ranks import rank


@dataclass(frozen=True)
class Request:
    """What was asked for. `config` is the model's own, `told` the same as plain JSON."""

    kind: Any
    preset: str
    config: Any
    told: Mapping[str, Any]
    corpora: Sequence[str]
    out: Path
    num_workers: int = 0
    device: str = "cpu"
    minutes: float | None = None
    cache_dir: Path | None = None
    """Of this node, for corpora at an address."""
    logger: str = "tensorboard"
    """tensorboard | wandb"""


def train(request: Request, say: Say) -> Outcome:
    """On this rank. Raises CheckpointError where `out` holds another training, ValueError for
    corpora without what is wanted."""
    with one_thread_for_products():
        return _train(request, say)


def _train(request: Request, say: Say) -> Outcome:
    kind, config = request.kind, request.config
    before = _earlier(request)
    parts = parts_of(request.corpora, config.data, kind.wanted(config), request.cache_dir)
    if rank() == 0:
        for note in parts.notes:
            say(note)
    code = kind.code
    facts = before["facts"] if before is not None else code.facts_of(parts, config)
    if rank() == 0:
        for name, value in facts.items():
            if isinstance(value, str):
                say(f"{name.replace('_', ' ')}: {value}")
    if before is None and rank() == 0:
        request.out.mkdir(parents=True, exist_ok=True)
        write_run(request.out, _run(request, facts))
    job = Job(
        kind.name,
        request.preset,
        request.told,
        lambda: seeded(config.recipe.seed, lambda: kind.system_class(config, facts)),
        decoded_by(config.data.decoder, code.decode_of(parts, config, facts)),
        parts,
        config.data,
        request.out,
        version("yld-corpora"),
        request.num_workers,
        request.device,
        request.minutes,
        request.logger,
        say if rank() == 0 else lambda _: None,
    )
    return fit(job)


def decoded_by(decoder: str, decode: Callable[..., Any]) -> Callable[..., Any]:
    """`decode`, that decodes by `decoder` in whichever process it is called."""
    return decode if decoder == "pyav" else partial(_with_decoder, decoder, decode)


def _with_decoder(decoder: str, decode: Callable[..., Any], *arguments: Any) -> Any:
    if gpu_span.device() is None:
        gpu_span.use(decoder)
    return decode(*arguments)


def seeded(seed: int, build: Callable[[], Any]) -> Any:
    """A network's first weights depend on the seed alone."""
    import torch

    torch.manual_seed(seed)
    return build()


def _run(request: Request, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": request.kind.name,
        "preset": request.preset,
        "config": dict(request.told),
        "corpora": list(request.corpora),
        "code_version": version("yld-corpora"),
        "facts": facts,
    }


def _earlier(request: Request) -> dict[str, Any] | None:
    """What `run.json` says, if the same is asked for again; None for a new folder."""
    path = request.out / "run.json"
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text())
        had = {"model": told["model"], **told["config"]}
        told["facts"]
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path} cannot be read; give another --out") from None
    if told["model"] != request.kind.name:
        raise CheckpointError(
            f"{request.out} holds a training of {told['model']}; give another --out"
        )
    now = {"model": request.kind.name, **request.told}
    if lines := list(_differences(_with_later_settings(had, request), now)):
        raise CheckpointError(
            f"{request.out} holds another training: {'; '.join(lines[:5])}. Give the same settings "
            "to go on with it, or another --out"
        )
    return told


def _with_later_settings(had: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
    """What an earlier release wrote, with the settings that it did not know: what is read from them
    when nobody sets them is what it did."""
    presets = request.kind.presets
    if request.preset not in presets:
        return had
    return _filled(had, json.loads(json.dumps(asdict(presets[request.preset]()))))


def _filled(had: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _filled(had[name], value)
        if isinstance(value, Mapping) and isinstance(had.get(name), Mapping)
        else had.get(name, value)
        for name, value in {**had, **defaults}.items()
    }


LIVELY = {"data.decoder", "recipe.steps", "recipe.save_every_steps", "recipe.log_every_steps"}
"""Settings that may change between a run and its going on."""


def _differences(had: Mapping[str, Any], now: Mapping[str, Any], where: str = "") -> Any:
    for name in dict.fromkeys((*had, *now)):
        path, a, b = f"{where}{name}", had.get(name), now.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{path}.")
        elif a != b and path not in LIVELY:
            yield f"{path} was {a} and is {b}"
