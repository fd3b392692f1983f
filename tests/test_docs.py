"""Generated pages are fresh, every command is documented, the house rules hold."""

from __future__ import annotations

import re
from pathlib import Path

from manifests.schema import schema_markdown
from pipeline.cli import main
from pipeline.config import BuildConfig, as_yaml, load_config
from pipeline.config_docs import config_markdown

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
            assert line.split("|")[4].strip(), line


def test_a_written_config_reads_back(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(as_yaml(BuildConfig()))
    assert load_config(str(path)) == BuildConfig()
