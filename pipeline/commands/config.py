"""`yld config`: the settings of a build, listed, written to a file and checked."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import EXIT_USAGE, LocalPath, friendly
from pipeline.config.presets import PRESETS

if TYPE_CHECKING:
    from pipeline.config.listing import Setting

DEFAULT_FILE = "build.yaml"


def preset_option(command):
    """`--preset`, the same wherever settings are read."""
    return click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        help="Settings by name, below those of --config and --set; `yld config presets` tells.",
    )(command)


@click.group()
def config() -> None:
    """Settings of a build: list, write and check them."""


@config.command()
@click.argument("path", default=DEFAULT_FILE, type=LocalPath(dir_okay=False))
@preset_option
@friendly
def init(path, preset) -> None:
    """Write a YAML file of all settings, with what each means, and its schema for editors."""
    from pipeline.config.build_config import load_config
    from pipeline.config.json_schema import json_schema
    from pipeline.config.template import template
    from pipeline.storage.own_folder import refuse_existing

    schema = path.with_name(f"{path.stem}.schema.json")
    refuse_existing(path, schema)
    path.write_text(template(load_config(None, (), preset), schema.name), encoding="utf-8")
    schema.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    click.echo(f"{path} and {schema}\nnext: yld build SOURCES --out DIR --config {path}")


@config.command()
@click.argument("keys", nargs=-1)
@click.option("--config", "path", type=click.Path(dir_okay=False), help="YAML file of settings.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting.")
@preset_option
@click.option("--changed", is_flag=True, help="Only what differs from the default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def show(keys, path, assignments, preset, changed, as_json) -> None:
    """What holds: value, type, bounds, and what another value runs again.

    KEYS are names or groups (`clips`, `sync.search_ms`); all without.
    """
    from pipeline.config.build_config import load_config
    from pipeline.config.listing import listing
    from pipeline.config.settings import ConfigError

    defaults = {setting.key: setting.default for setting in listing()}
    rows = listing(load_config(path, assignments, preset))
    for key in keys:
        if not any(_is_named(s, key) for s in rows):
            raise ConfigError(
                f"no setting and no group is named {key!r}; `yld config show` has all"
            )
    rows = [
        s
        for s in rows
        if (not keys or any(_is_named(s, key) for key in keys))
        and not (changed and s.default == defaults[s.key])
    ]
    if as_json:
        click.echo(json.dumps([_plain(s, defaults[s.key]) for s in rows], indent=1))
        return
    width = min(shutil.get_terminal_size().columns, 100)
    for setting in rows:
        for line in _lines(setting, defaults[setting.key], width):
            click.echo(line)


@config.command()
@click.argument("path", type=click.Path(dir_okay=False))
@preset_option
@friendly
def check(path, preset) -> None:
    """Try a YAML file: unknown names, types, bounds; exit code 2 if it cannot be used."""
    from pipeline.config.build_config import load_config
    from pipeline.config.listing import listing
    from pipeline.config.problems import problems

    if wrong := problems(path):
        for sentence in wrong:
            click.echo(f"yld: {path}: {sentence}", err=True)
        sys.exit(EXIT_USAGE)
    rows = listing(load_config(path, (), preset))
    changed = sum(s.default != d.default for s, d in zip(rows, listing(), strict=True))
    are = "differs" if changed == 1 else "differ"
    click.echo(f"{path} can be used: {changed} of {len(rows)} settings {are} from the default")


@config.command()
@friendly
def schema() -> None:
    """The JSON Schema of the YAML file, for editors."""
    from pipeline.config.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=1))


@config.command()
@friendly
def presets() -> None:
    """What each --preset is for and sets."""
    import yaml

    width = min(shutil.get_terminal_size().columns, 100)
    for name, preset in PRESETS.items():
        click.echo(name)
        click.echo("\n".join(_wrapped(preset.about, width)))
        plain = yaml.safe_dump(preset.settings, sort_keys=False, default_flow_style=None)
        click.echo(textwrap.indent(plain, "    ").rstrip())


def _is_named(setting: Setting, key: str) -> bool:
    return setting.key == key or f".{setting.key}.".find(f".{key}.") >= 0


def _plain(setting: Setting, default: object) -> dict[str, object]:
    return {
        "key": setting.key,
        "value": setting.default,
        "default": default,
        "type": setting.kind,
        "unit": setting.unit,
        "allowed": setting.allowed,
        "runs_again": setting.reruns_in_words,
        "doc": setting.doc,
    }


def _lines(setting: Setting, default: object, width: int) -> list[str]:
    """The name and its value first, then what it means, indented; never wider than `width`."""
    is_default = setting.default == default
    was = "" if is_default else f"   (default {json.dumps(default)})"
    unit = f" {setting.unit}" if setting.unit and setting.default is not None else ""
    first = f"{setting.key} = {json.dumps(setting.default)}{unit}{was}"
    allowed = f": {setting.allowed}" if setting.allowed else ""
    told = f"{setting.kind}{allowed}; runs again: {setting.reruns_in_words}"
    return [first, *_wrapped(setting.doc, width), *_wrapped(told, width)]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width - 1), initial_indent="    ", subsequent_indent="    ")
