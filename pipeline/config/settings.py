"""Dataclasses from YAML and `--set`, checked before any work starts.

Every default lives once, in the dataclass of the part it configures; this module only reads
mappings into them. Unknown keys and wrong types are errors that name the key and the nearest
valid one.
"""

from __future__ import annotations

import dataclasses
import difflib
import operator
import re
import types
import typing
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from manifests.plain_words import SAYINGS

EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and the remedy."""


def from_mapping(kind: type, data: Mapping[str, Any] | None, where: str = "") -> Any:
    """An instance of dataclass `kind` from a nested mapping. Raises ConfigError."""
    data = {} if data is None else data
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where or 'the config'} must be a mapping, found {data!r}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    names = list(fields)
    values = {}
    for key, value in data.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=3)
            hint = (
                f"; did you mean {' or '.join(map(repr, near))}?"
                if near
                else f"; valid: {', '.join(names)}"
            )
            hint = hint if where else _nested_hint(kind, str(key)) or hint
            raise ConfigError(f"unknown setting {path!r}{hint}")
        values[key] = _convert(hints[key], value, path)
        _check_bounds(values[key], fields[key].metadata.get("bounds", {}), path)
    try:
        return kind(**values)
    except ValueError as error:  # of __post_init__: it begins with the field's name
        raise ConfigError(f"{where}.{error}" if where else str(error)) from None


def _nested_hint(kind: type, key: str) -> str | None:
    """Of a name that is right on the command line, but no group of a file."""
    try:
        paths = paths_of(kind())
    except TypeError:  # it has no defaults
        return None
    if key in paths:
        *groups, last = key.split(".")
        nested = ": {".join([*groups, f"{last}: ...{'}' * len(groups)}"])
        return f"; in a file it stands nested: `{nested}`"
    owners = {p[: p.index(f".{key}.") + len(key) + 1] for p in paths if f".{key}." in p}
    owners |= {p for p in paths if p.endswith(f".{key}")}
    return f"; did you mean {' or '.join(sorted(owners))}, nested?" if owners else None


OUTSIDE = {"at_least": operator.lt, "above": operator.le, "at_most": operator.gt}


def bounds_in_words(bounds: Mapping[str, float]) -> str:
    """What a setting with these bounds of `col` may be: `1 or more`, `from 0 to 1`."""
    low, above, high = (bounds.get(name) for name in OUTSIDE)
    if high is None:
        return (
            f"{low:g} or more"
            if low is not None
            else f"above {above:g}"
            if above is not None
            else ""
        )
    return (
        f"from {low:g} to {high:g}"
        if low is not None
        else f"above {above:g} and at most {high:g}"
        if above is not None
        else f"{high:g} or less"
    )


def _check_bounds(value: Any, bounds: Mapping[str, float], path: str) -> None:
    """Of a number, or of each number in a list or mapping. Raises ConfigError."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_bounds(item, bounds, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check_bounds(item, bounds, f"{path}[{i}]")
    elif value is not None and any(OUTSIDE[n](value, bound) for n, bound in bounds.items()):
        raise ConfigError(f"{path} must be {bounds_in_words(bounds)}, not {value!r}")


def _convert(hint: Any, value: Any, path: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        errors = []
        for option in (a for a in args if a is not type(None)):
            try:
                return _convert(option, value, path)
            except ConfigError as error:
                errors.append(str(error))
        raise ConfigError(errors[-1])
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{path} must be one of {', '.join(map(str, args))}, not {value!r}")
        return value
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_mapping(hint, value, path)
    if origin in (list, tuple):
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            value = [value]
        item = args[0] if args else Any
        return origin(_convert(item, v, f"{path}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path} must be a mapping, not {value!r}")
        return {
            _convert(args[0], str(k), f"each name in {path}"): _convert(args[1], v, f"{path}.{k}")
            for k, v in value.items()
        }
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and EXPONENT.fullmatch(value):
        return float(value)  # YAML 1.1 wants a dot before an exponent, and gives 1e-5 as text
    if hint is float and value != value:  # no bound would refuse it
        raise ConfigError(f"{path} must be a number, not {value!r}")
    if hint in (int, float, bool, str):
        if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
            return value
        raise ConfigError(f"{path} must be {hint.__name__}, not {value!r}")
    raise ConfigError(f"{path}: settings of type {hint!r} cannot be read")


def whole_key(setting: str, paths: Sequence[str]) -> str:
    """`key=value` with the key written out: `landmarks` for `shots.faces.landmarks`.

    A key that ends just one of the `paths` stands for it, and so does the name of a group within
    one: `faces.device`. One that is whole is left as it is; one that ends several is an error
    that lists them, one that ends none an error with the nearest.
    """
    key, sign, text = setting.partition("=")
    key = key.strip()
    if not (sign and key) or key in paths or any(p.startswith(key + ".") for p in paths):
        return setting
    ends = [p for p in paths if p.endswith("." + key)]
    if len(ends) > 1:
        raise ConfigError(f"{key!r} could be any of {', '.join(ends)}; write it out")
    if ends:
        return f"{ends[0]}{sign}{text}"
    folder, _, last = key.rpartition(".")
    places = {
        ".".join(parts[:n])
        for parts in (p.split(".") for p in paths)
        for n in range(1, len(parts) + 1)
    }
    owners = [p for p in sorted(places) if folder and (p == folder or p.endswith("." + folder))]
    if len(owners) == 1:  # what is wrong within the group is told with the group's settings
        return f"{owners[0]}.{last}{sign}{text}"
    near = _nearest(key, paths)
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"there are: {', '.join(dict.fromkeys(p.split('.')[0] for p in paths))}; "
        "docs/config.md lists all settings"
    )
    raise ConfigError(f"unknown setting {key!r}; {hint}")


def _nearest(key: str, paths: Sequence[str]) -> list[str]:
    """Up to three paths that `key` may stand for, whole or by their ends."""
    ends: dict[str, list[str]] = {}
    for path in paths:
        parts = path.split(".")
        for n in range(len(parts)):
            ends.setdefault(".".join(parts[n:]), []).append(path)
    found = [
        p for e in difflib.get_close_matches(key, list(ends), n=6, cutoff=0.7) for p in ends[e]
    ]
    return list(dict.fromkeys(found))[:3]


def apply_setting(data: dict[str, Any], setting: str) -> None:
    """Put one `key.path=value` (value in YAML) into a nested mapping, in place."""
    key, sign, text = setting.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"--set wants key=value, found {setting!r}")
    *folders, last = key.strip().split(".")
    for folder in folders:
        if data.get(folder) is None:  # a group of a file with nothing in it
            data[folder] = {}
        beside, data = [name for name in data if name != folder], data[folder]
        if not isinstance(data, dict):
            raise ConfigError(
                f"--set {setting}: {folder!r} is a value, not a group of settings; beside it "
                f"stand {', '.join(beside)}"
            )
    try:
        data[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {setting}: the value is not valid YAML") from None


def to_mapping(config: Any) -> Any:
    """A dataclass as plain nested mappings and lists, in field order."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_mapping(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {k: to_mapping(v) for k, v in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_mapping(v) for v in config]
    return config


def flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """`group.key` and value of every setting of nested mappings, as `to_mapping` gives them."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def paths_of(config: Any, prefix: str = "") -> list[str]:
    """`group.key` of every setting of a dataclass."""
    found = []
    for item in dataclasses.fields(config):
        value, path = getattr(config, item.name), f"{prefix}{item.name}"
        found += paths_of(value, f"{path}.") if dataclasses.is_dataclass(value) else [path]
    return found


def with_settings(config: Any, assignments: Sequence[str]) -> Any:
    """A dataclass with `key=value` strings laid over it. Raises ConfigError."""
    data, paths = to_mapping(config), paths_of(config)
    for assignment in assignments:
        apply_setting(data, whole_key(assignment, paths))
    return from_mapping(type(config), data)


class _Once(yaml.SafeLoader):
    """YAML in which no key stands twice: of two, the first would be lost without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: {key!r} stands twice")
            seen.add(key if isinstance(key, Hashable) else str(key))
        return super().construct_mapping(node, deep)


def load_yaml(path: str) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError naming the file."""
    try:
        with open(path, encoding="utf-8") as file:
            data = yaml.load(file, _Once)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        why = (
            "it is no UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else f"it {SAYINGS[number]}"
            if (number := getattr(error, "errno", None)) in SAYINGS
            else error
        )
        raise ConfigError(f"cannot read the config {path}: {why}") from None
    if data is not None and not isinstance(data, dict):
        raise ConfigError(f"the config {path} must be a mapping of settings")
    return data or {}
