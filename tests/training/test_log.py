"""Where a training's figures go: a line of JSON each, and a board beside it."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.commands.train import LOGGERS as TOLD
from training.harness import log
from training.harness.log import Log, NoLoggerError, check_logger
from training.models.catalogue import KINDS


def test_names_told_in_help_are_those_there_are():
    assert TOLD == log.LOGGERS
    for kind in KINDS.values():
        assert tuple(kind.presets) == kind.preset_names


def test_a_logger_that_is_not_installed_is_a_clear_error_before_any_work(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "wandb" else find(name, *a)
    )
    with pytest.raises(NoLoggerError, match=r"\[wandb\]"):
        check_logger("wandb")
    corpus, out = tmp_path / "none", tmp_path / "out"
    arguments = ["train", "slts", "--data", str(corpus), "--out", str(out), "--logger", "wandb"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2 and "--logger wandb needs the package wandb" in done.output
    assert not out.exists()


def test_tensorboard_is_the_default_and_lines_of_taken_back_steps_go(tmp_path):
    for first in (0, 1):
        made = Log(tmp_path, first)
        for step in range(first, 3):
            made.figures("train", step, {"loss": 1.0 / (step + 1)})
        made.close()
    lines = [json.loads(x) for x in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == [0, 1, 1, 2]
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_run_of_wandb_is_one_run_when_it_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for first in (0, 1):
        made = Log(tmp_path, first, "wandb", {"preset": "tiny", "recipe": {"steps": 3}})
        made.figures("judge", first, {"loss": 0.5})
        made.shown(
            first,
            {"picture": np.zeros((8, 8, 3), np.uint8), "sound": np.zeros(1600, np.float32)},
        )
        made.close()
    runs = [p.name for p in (tmp_path / "wandb").glob("offline-run-*")]
    name = (tmp_path / log.RUN_ID).read_text().strip()
    assert runs and all(run.endswith(f"-{name}") for run in runs)
    assert list((tmp_path / "wandb").glob("offline-run-*/files/media/audio/*"))
    assert not (tmp_path / "tensorboard").exists()
