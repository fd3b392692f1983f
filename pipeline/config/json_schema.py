"""The JSON Schema of a build's YAML file, by which editors complete and check it."""

from __future__ import annotations

import types
import typing
from typing import Any

from pipeline.config.listing import Setting, listing

TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}
BOUNDS = {"at_least": "minimum", "above": "exclusiveMinimum", "at_most": "maximum"}


def json_schema() -> dict[str, Any]:
    """Draft 2020-12. Unknown names are errors, as they are when the file is read."""
    root = _group()
    for setting in listing():
        *groups, name = setting.key.split(".")
        place = root
        for group in groups:
            place = place["properties"].setdefault(group, _group())
        place["properties"][name] = _of(setting)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of yld build",
        **root,
    }


def _group() -> dict[str, Any]:
    return {"type": ["object", "null"], "additionalProperties": False, "properties": {}}


def _of(setting: Setting) -> dict[str, Any]:
    unit = f" ({setting.unit})" if setting.unit else ""
    bounds = {BOUNDS[name]: bound for name, bound in setting.bounds.items()}
    return {
        "description": f"{setting.doc}{unit}. Another value runs again: {setting.reruns_in_words}.",
        "default": setting.default,
        **_typed(setting.hint, bounds),
    }


def _typed(hint: object, bounds: dict[str, float]) -> dict[str, Any]:
    """Bounds are of a number, or of each number in a list or mapping."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return {
            "anyOf": [
                {"type": "null"} if arg is type(None) else _typed(arg, bounds) for arg in args
            ]
        }
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin in (list, tuple):
        item = _typed(args[0], bounds)
        return {"anyOf": [{"type": "array", "items": item}, item]}  # one entry stands for a list
    if origin is dict:
        return {
            "type": "object",
            "propertyNames": _typed(args[0], {}),
            "additionalProperties": _typed(args[1], bounds),
        }
    kind = typing.cast(type, hint)
    return {"type": TYPES[kind], **(bounds if kind in (int, float) else {})}
