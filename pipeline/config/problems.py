"""All that is wrong with a file of settings, and not only what is met first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config.build_config import BuildConfig
from pipeline.config.settings import ConfigError, from_mapping, load_yaml


def problems(path: Path | str) -> list[str]:
    """A sentence for each setting of a YAML file that is wrong by itself. Raises ConfigError for a
    file that is no mapping."""
    told: dict[str, None] = {}
    for keys, value in _leaves(load_yaml(str(path))):
        alone: Any = value
        for key in reversed(keys):
            alone = {key: alone}
        try:
            from_mapping(BuildConfig, alone)
        except ConfigError as error:
            told[str(error)] = None
    return list(told)


def _leaves(data: Mapping[Any, Any], above: tuple[Any, ...] = ()) -> Iterator[tuple[tuple, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value
