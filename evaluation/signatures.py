"""The signature of a score: all that a figure depends on besides the two files.

Two figures with one signature are comparable; sacreBLEU showed how much that is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata

from evaluation.catalogue import load, split
from evaluation.metrics import alignment
from evaluation.metrics.signals import SAMPLE_RATE
from evaluation.metrics.spectra import N_MELS, WIN_LENGTH


@cache
def signature(name: str) -> str:
    """Fields `key:value` joined by `|`, in a fixed order. Raises ValueError for no metric.

    A package that is not installed, or a model that is not here, stands as `none`: the rows
    that go with it carry no value.
    """
    metric, aligned = split(name)
    fields = {"metric": metric.name, "v": metric.version}
    if metric.kind != "pictures":
        fields |= {"rate": SAMPLE_RATE, "peaks": "kept"}  # until then floats beyond 1 were clipped
    fields["mode"] = "aligned" if aligned else "plain"
    if aligned:
        fields["frontend"] = (
            f"mel{N_MELS}-win{WIN_LENGTH}-step{alignment.STEP_MS}ms-search{alignment.SEARCH_MS}ms"
        )
    fields |= metric.settings
    fields |= {package: package_version(package) for package in metric.packages}
    if metric.model is not None:
        fields["model"] = _model_hash(metric.model)
    return "|".join(f"{key}:{value}" for key, value in fields.items())


def with_fields(known: str, more: Mapping[str, str]) -> str:
    """A signature with fields added: what made the hypotheses, which their files do not tell."""
    plain = {key: value.replace("|", "/").replace(":", ",") for key, value in more.items()}
    return "|".join([known, *(f"{key}:{value}" for key, value in plain.items())])


def package_version(package: str) -> str:
    """Version of an installed package, or `none`."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _model_hash(target: str) -> str:
    try:
        return load(target)()
    except (ImportError, OSError, ValueError):
        return "none"
