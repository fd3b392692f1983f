"""All settings of a build, one row each: what `yld config`, its files and docs/config.md tell."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.build_config import BuildConfig
from pipeline.config.settings import bounds_in_words
from pipeline.graph import MAIN_JOB

NOTHING, PUBLISHING = "nothing", "publishing"
STAGES = tuple(node.name for node in MAIN_JOB)
WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}
ALSO_IN_EXPAND = frozenset({"cookies_file", "cookies_from_browser", "allow_hosts"})
"""Settings of download that lists and playlists are read with too."""


@dataclass(frozen=True)
class Setting:
    """One setting."""

    key: str
    """`group.name`, groups nested."""
    hint: object
    """Its type."""
    default: Any
    unit: str
    doc: str
    bounds: Mapping[str, float]
    reruns: tuple[str, ...]
    """Stages whose finished work another value does not fit; those after them run again where
    what they are given changes. Empty: no stage."""

    @property
    def kind(self) -> str:
        return kind_in_words(self.hint)

    @property
    def allowed(self) -> str:
        """Choices and bounds, as words."""
        bounds = bounds_in_words(self.bounds)
        return "; ".join(filter(None, (", ".join(choices(self.hint)), bounds)))

    @property
    def reruns_in_words(self) -> str:
        group = self.key.partition(".")[0]
        if self.reruns:
            return ", ".join(self.reruns)
        return PUBLISHING if group in ("thresholds", "speakers", "splits", "shards") else NOTHING


def listing(config: BuildConfig | None = None) -> list[Setting]:
    """All settings, in the order of their groups; `default` is the value in `config`."""
    return list(_walk(config or BuildConfig(), "", is_in_key=True))


def _walk(config: Any, prefix: str, *, is_in_key: bool) -> Iterator[Setting]:
    hints = typing.get_type_hints(type(config))
    for item in dataclasses.fields(config):
        value, key = getattr(config, item.name), f"{prefix}{item.name}"
        counts = is_in_key and item.metadata.get("in_key", "always") != "never"
        if dataclasses.is_dataclass(value):
            yield from _walk(value, f"{key}.", is_in_key=counts)
            continue
        yield Setting(
            key,
            hints[item.name],
            value,
            item.metadata.get("unit", ""),
            item.metadata.get("doc", ""),
            item.metadata.get("bounds", {}),
            _reruns(key) if counts else (),
        )


def _reruns(key: str) -> tuple[str, ...]:
    """Stages that are given the setting (`pipeline.config.build_config.stage_configs`)."""
    group, _, name = key.partition(".")
    if group == "sync":
        return ("sync", "clips")  # what is corrected is measured again
    if group == "download" and name in ALSO_IN_EXPAND:
        return ("expand", "download")
    return (group,) if group in STAGES else ()


def choices(hint: object) -> list[str]:
    """The names that a setting, each entry of a list or each key of a mapping may be."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return [str(a) for a in args]
    return choices(args[0]) if args else []


def kind_in_words(hint: object) -> str:
    """A type as people say it: "whole number or null", "list of text"."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        rest = [kind_in_words(a) for a in args if a is not type(None)]
        return " or ".join([*rest, "null"] if type(None) in args else rest)
    if origin is typing.Literal:
        return "choice"
    if origin in (list, tuple):
        return f"list of {kind_in_words(args[0])}"
    if origin is dict:
        return f"{kind_in_words(args[1])} by {kind_in_words(args[0])}"
    return WORDS[typing.cast(type, hint)]
