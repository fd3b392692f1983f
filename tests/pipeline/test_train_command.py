"""`yld train`: how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.commands.train import _report
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import claim
from training.harness.job import Outcome
from training.models.catalogue import KINDS


def test_help_says_of_each_model_what_it_needs_how_large_it_is_and_how_long_tiny_takes():
    def said(*words: str) -> str:
        return packed(CliRunner().invoke(main, [*words, "--help"]).stdout)

    def packed(text: str) -> str:  # lines may end anywhere
        return "".join(text.split())

    shown, alone = said("train"), said("train", "vca_gan")
    assert packed("The landmark synchrony model") in shown
    for name, kind in KINDS.items():
        assert packed(name + "".join(kind.told)) in shown
    for sentence in KINDS["vca_gan"].told:
        assert packed(sentence) in alone


def test_a_training_that_was_stopped_ends_as_a_stopped_build_does(capsys):
    """So that `yld train ... && yld synthesize ...` does not go on after Ctrl-C."""
    with pytest.raises(SystemExit) as ended:
        _report(KINDS["slts"], Path("out"), Outcome(7, "stopped", None, None))
    assert ended.value.code == 130
    assert "7 steps: stopped; the same command goes on" in capsys.readouterr().out
    _report(KINDS["slts"], Path("out"), Outcome(9, "done", {"a_stoi": 0.5}, 9))
    assert "next: yld synthesize --checkpoint out" in capsys.readouterr().out


def test_a_second_training_in_one_folder_is_refused(tmp_path):
    out, data = tmp_path / "run", tmp_path / "data"
    data.mkdir()
    claim(out, "training")
    words = ["train", "syncnet", "--data", str(data), "--out", str(out), "--preset", "tiny"]
    with CorpusLock(out / "work"):
        told = CliRunner().invoke(main, words)
        assert told.exit_code == 3 and "being built by process" in told.output
    told = CliRunner().invoke(main, words)
    assert told.exit_code == 2 and "has no shards" in told.output


def test_a_training_that_is_refused_leaves_nothing_behind(tmp_path):
    data, out, empty = tmp_path / "data", tmp_path / "run", tmp_path / "empty"
    data.mkdir()
    empty.mkdir()
    for folder in (out, empty):
        words = ["train", "syncnet", "--data", str(data), "--out", str(folder)]
        told = CliRunner().invoke(main, [*words, "--preset", "tiny"])
        assert told.exit_code == 2 and "has no shards" in told.output
    assert not out.exists()
    assert empty.is_dir() and not list(empty.iterdir())  # it was there before
