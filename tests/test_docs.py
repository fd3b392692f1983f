"""Generated pages are fresh, every command is documented, the house rules hold."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from manifests.schema import schema_markdown
from pipeline.cli import main
from pipeline.config.build_config import BuildConfig, as_yaml, load_config
from pipeline.config.page import config_markdown

ROOT = Path(__file__).resolve().parents[1]


def test_generated_pages_are_fresh():
    assert (ROOT / "docs/config.md").read_text() == config_markdown()
    assert (ROOT / "docs/manifest-schema.md").read_text() == schema_markdown()


def test_every_command_has_help_and_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    for name, command in main.commands.items():
        assert command.help, name
        assert re.search(rf"yld {name}\b|make {name}\b", readme), name


def test_every_setting_is_documented():
    for line in config_markdown().splitlines():
        if line.startswith("| `"):
            assert line.split("|")[5].strip(), line


def test_a_written_config_reads_back(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(as_yaml(BuildConfig()))
    assert load_config(str(path)) == BuildConfig()


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = (
    "manifests",
    "stages",
    "pipeline",
    "training",
    "evaluation",
    "benchmarks",
    "tests",
    "tools",
    "docs",
)


def paths_named(page: str) -> set[str]:
    """Files of ours that a page names: `folder/...` in code, targets of links, modules of -m."""
    named = {
        path
        for path in re.findall(r"[\w./-]+/[\w./{},-]+\.\w+|[\w-]+(?:/[\w-]+)+", page)
        if path.split("/")[0] in FOLDERS
    }
    named |= {
        m.replace(".", "/")
        for m in re.findall(r"-m ((?:\w+\.)+\w+)", page)
        if m.split(".")[0] in FOLDERS
    }
    return {name.rstrip(".,") for name in named if not re.search(r"\b(NAME|ROOM)\b", name)}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_path_and_link_that_a_page_names_exists(page):
    text = page.read_text()
    missing = {
        target
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
        if not (page.parent / target).exists()
    }
    for name in paths_named(text):
        found = [*re.findall(r"(.*)\{([^}]*)\}(.*)", name)]
        for each in [f"{a}{x}{b}" for a, xs, b in found for x in xs.split(",")] or [name]:
            if not any((ROOT / f"{each}{suffix}").exists() for suffix in ("", ".py")):
                missing.add(each)
    assert missing - NOT_OURS == set()


NOT_OURS: set[str] = set()
"""Paths that read like ours and lie in what yld writes."""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_and_option_that_a_page_names_exists(page):
    for line in re.findall(r"\.venv/bin/yld ([^\n`|#]+)", page.read_text()):
        words = line.split()
        command = main
        while words and isinstance(command, click.Group) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command is not main, line
        known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
        for option in (w.partition("=")[0] for w in words if w.startswith("--")):
            assert option in known | {"--help"}, line
