"""`yld config`: what it lists is what holds, what it writes can be read, its schema agrees."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.config.build_config import BuildConfig, load_config, stage_configs
from pipeline.config.json_schema import json_schema
from pipeline.config.listing import Setting, choices, listing
from pipeline.config.presets import PRESETS
from pipeline.run.ledger import digest


def yld(*arguments: str, columns: int = 80):
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(main, arguments)


def other(setting: Setting) -> Any:
    """Another value of a setting's type; bounds between settings do not matter here."""
    value = setting.default
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return [*value, "x"]
    if isinstance(value, dict):
        return {"x": 1.0}
    others = [c for c in choices(setting.hint) if c != value]
    return others[0] if others else 1 if "number" in setting.kind else "x"


def with_value(config: Any, key: str, value: Any) -> Any:
    """The frozen settings with one put in place past all checks."""
    head, _, rest = key.partition(".")
    inner = with_value(getattr(config, head), rest, value) if rest else value
    copy = object.__new__(type(config))
    for field in dataclasses.fields(config):
        object.__setattr__(
            copy, field.name, inner if field.name == head else getattr(config, field.name)
        )
    return copy


@pytest.mark.parametrize("setting", listing(), ids=lambda s: s.key)
def test_the_stages_a_setting_runs_again_are_those_whose_key_it_changes(setting):
    usual = {name: digest(c) for name, c in stage_configs(BuildConfig()).items()}
    config = with_value(BuildConfig(), setting.key, other(setting))
    now = {name: digest(c) for name, c in stage_configs(config).items()}
    assert {name for name in usual if usual[name] != now[name]} == set(setting.reruns)


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_a_file_that_init_writes_says_what_the_preset_says(tmp_path, preset):
    path = tmp_path / "b.yaml"
    more = ("--preset", preset) if preset else ()
    assert yld("config", "init", str(path), *more).exit_code == 0
    assert load_config(str(path)) == load_config(None, (), preset)
    assert load_config(str(path), ("clips.max_frames=60",)).clips.max_frames == 60
    jsonschema.validate(yaml.safe_load(path.read_text()), json_schema())
    bare = "\n".join(filter(None, map(taken_in, path.read_text().splitlines())))
    path.write_text(bare)
    assert load_config(str(path)) == load_config(None, (), preset), "what is commented out"
    again = yld("config", "init", str(path))
    assert again.exit_code == 2 and str(path) in again.output


def taken_in(line: str) -> str | None:
    """A line of a group or a setting without its #; None for words."""
    if line.endswith(":") and "#" not in line:
        return line
    name = line.strip().removeprefix("# ").partition(": ")[0]
    is_setting = any(s.key.endswith(f".{name}") for s in listing())
    return line.replace("# ", "", 1) if is_setting else None


def test_a_preset_lies_below_a_file_and_set(tmp_path):
    path = tmp_path / "b.yaml"
    path.write_text("clips:\nsync: {correct: true}\n")
    config = load_config(str(path), ("clips.max_frames=50",), "grid")
    assert (config.clips.mode, config.clips.max_frames, config.sync.correct) == ("whole", 50, True)


@pytest.mark.parametrize(
    "text, words",
    [
        ("clips: {max_frame: 50}", "did you mean 'max_frames'"),
        ("clips: {max_frames: soon}", "must be int"),
        ("splits: {val_share: 2}", "from 0 to 1"),
        ("clips: {mode: long}", "one of yld, fixed, whole"),
        ("workers: {memory_gb: {shot: 2}}", "one of"),
    ],
)
def test_check_and_the_schema_refuse_alike(tmp_path, text, words):
    path = tmp_path / "b.yaml"
    path.write_text(text)
    done = yld("config", "check", str(path))
    assert done.exit_code == 2 and words in done.output
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json_schema())


def test_the_schema_is_one_and_knows_every_setting(tmp_path):
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(json.loads(json.dumps(dataclasses.asdict(BuildConfig()))), json_schema())
    assert json.loads(yld("config", "schema").output) == json_schema()
    assert len(typing.get_type_hints(BuildConfig)) == len(json_schema()["properties"])


def test_show_fits_80_columns_and_tells_what_differs():
    shown = yld("config", "show", "--preset", "fast")
    lines = shown.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(not line.startswith(" ") for line in lines) == len(listing())
    one = yld("config", "show", "search_ms", "--set", "search_ms=300").output
    assert "sync.search_ms = 300.0 ms   (default 700.0)" in one
    assert "number: from 40 to 10000; runs again: sync, clips" in one
    changed = yld("config", "show", "--preset", "fast", "--changed", "--json").output
    assert {row["key"] for row in json.loads(changed)} == {
        "download.max_height",
        "shots.cuts.detectors",
        "shots.faces.detect_every",
        "shots.faces.search_every",
        "shots.faces.search_side_px",
        "shots.max_side_px",
    }
    assert yld("config", "show", "clip").exit_code == 2
    assert max(map(len, yld("config", "presets").output.splitlines())) <= 80


def test_build_takes_a_preset(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pipeline.build.dry_run.describe",
        lambda sources, out, config, *more: seen.append(config) or "",
    )
    (tmp_path / "x.mp4").write_bytes(b"x")
    done = yld(
        *("build", str(tmp_path / "x.mp4"), "--out", str(tmp_path / "c")),
        *("--preset", "paper-yld", "--set", "max_frames=50", "--dry-run"),
    )
    assert done.exit_code == 0, done.output
    assert seen[0].identity.target_distance == 0.6 and seen[0].clips.max_frames == 50
    refused = yld("build", "x", "--out", str(Path(tmp_path) / "c"), "--preset", "gird")
    assert refused.exit_code == 2 and "youtube-interviews" in refused.output


def test_all_that_is_wrong_with_a_file_is_told_at_once(tmp_path):
    path = tmp_path / "build.yaml"
    path.write_text(
        "clips: {max_frame: 3, min_frames: two}\nsync: {undecided: maybe}\n"
        "faces: {detector: scrfd}\nclips.max_frames: 50\n"
    )
    done = CliRunner().invoke(main, ["config", "check", str(path)])
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 5
    assert "did you mean shots.faces" in done.stderr
    assert "nested: `clips: {max_frames: ...}`" in done.stderr


def test_a_key_that_stands_twice_in_a_file_is_refused(tmp_path):
    path = tmp_path / "build.yaml"
    path.write_text("clips: {min_frames: 30}\nclips: {max_frames: 60}\n")
    done = CliRunner().invoke(main, ["config", "check", str(path)])
    assert done.exit_code == 2 and "line 2: 'clips' stands twice" in done.stderr
