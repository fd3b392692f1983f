"""The YAML file that `yld config init` writes: all settings with what they mean."""

from __future__ import annotations

import textwrap

import yaml

from pipeline.config.build_config import BuildConfig
from pipeline.config.listing import Setting, listing

WIDTH = 88


def template(config: BuildConfig, schema: str | None = None) -> str:
    """All settings; those that differ from the default stand as they are, the others commented
    out, so that a later release's defaults still apply. `schema` is its file's name."""
    lines = [f"# yaml-language-server: $schema={schema}"] if schema else []
    lines += ["# Settings of `yld build --config`. Take the # away before a line to change it."]
    defaults = {setting.key: setting.default for setting in listing()}
    groups: list[str] = []
    changed = {s.key for s in listing(config) if s.default != defaults[s.key]}
    for setting in listing(config):
        *now, name = setting.key.split(".")
        for depth, group in enumerate(now):
            if groups[: depth + 1] != now[: depth + 1]:
                lines += ["", f"{'  ' * depth}{group}:"]
                groups = now[: depth + 1]
        groups = now
        indent = "  " * len(now)
        lines += [f"{indent}# {line}" for line in _told(setting)]
        mark = "" if setting.key in changed else "# "
        lines.append(f"{indent}{mark}{name}: {_as_yaml(setting.default)}")
    return "\n".join(lines) + "\n"


def _as_yaml(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()  # the end of a document that is a bare value


def _told(setting: Setting) -> list[str]:
    unit = f", {setting.unit}" if setting.unit else ""
    allowed = f": {setting.allowed}" if setting.allowed else ""
    text = f"{setting.doc} ({setting.kind}{unit}{allowed}; runs again: {setting.reruns_in_words})"
    return textwrap.wrap(text, WIDTH)
