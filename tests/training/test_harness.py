"""A training that is stopped, or moved to other ranks, goes on as it would have."""

from __future__ import annotations

import ctypes
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.config.settings import to_mapping
from tests.training.mouths import speaking
from tests.training.ranks import together
from training.data.state import StateError
from training.harness import run as runs
from training.harness.checkpoints import (
    STATE,
    WEIGHTS,
    CheckpointError,
    digest,
    last_checkpoint,
    load_weights,
)
from training.harness.data import DataConfig
from training.harness.recipe import Recipe, optimizer_of, rate_at
from training.harness.run import Request, train
from training.models.catalogue import KINDS
from training.models.slts.config import SltsConfig, SltsView
from training.models.slts.shape import tiny

SLTS = KINDS["slts"]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return speaking(tmp_path_factory.mktemp("mouths"))


def config(**recipe) -> SltsConfig:
    """Small enough for a step in a tenth of a second, with every part of the model in it."""
    shape = replace(tiny(), width=0.125, conformer_blocks=1, vocoder_width=0.25, radius_columns=10)
    settings = {"steps": 6, "batch": 4, "save_every_steps": 3, "average": 0.9, **recipe}
    return SltsConfig(
        shape,
        SltsView(crop="lip", num_frames=28, mirror=True, brightness=0.2, plant_columns=5),
        data=DataConfig(held_out=0.2, judged_clips=2),
        recipe=Recipe(**settings),
        vocoder_clips=2,
        by_frontend=False,
    )


def request(corpus: Path, out: Path, settings: SltsConfig, **more) -> Request:
    return Request(SLTS, "tiny", settings, to_mapping(settings), [str(corpus)], out, **more)


def run(corpus: Path, out: Path, settings: SltsConfig, **more):
    return train(request(corpus, out, settings, **more), lambda _: None)


def losses(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "train"]


def last(out: Path) -> Path:
    found = last_checkpoint(out / "checkpoints")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    run(corpus, out, config())
    return out


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(corpus, alone, tmp_path):
    run(corpus, tmp_path / "run", config(steps=3))
    outcome = run(corpus, tmp_path / "run", config(steps=6))
    assert outcome.step == 6
    assert losses(tmp_path / "run") == losses(alone)
    for name in (WEIGHTS, STATE):
        mine, theirs = load_file(last(tmp_path / "run") / name), load_file(last(alone) / name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_checkpoint_cut_short_leaves_the_one_before(corpus, alone, tmp_path):
    out = tmp_path / "run"
    run(corpus, out, config(steps=3))
    half = out / "checkpoints" / ".step-00000004.1.part"
    half.mkdir()
    (half / WEIGHTS).write_bytes(b"half")
    with open(out / "log.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 4, "hard": 1.0}\n{"kind": "tra')
    run(corpus, out, config(steps=6))
    assert losses(out) == losses(alone)
    assert (half / WEIGHTS).read_bytes() == b"half"


def test_a_run_that_is_done_is_not_done_again(corpus, alone):
    before = (alone / "log.jsonl").stat().st_mtime_ns
    assert run(corpus, alone, config()).step == 6
    assert (alone / "log.jsonl").stat().st_mtime_ns == before


def test_the_oldest_checkpoints_go_and_foreign_files_stay(corpus, tmp_path):
    out = tmp_path / "run"
    run(corpus, out, config(steps=2, save_every_steps=1))
    kept = out / "checkpoints" / "step-00000001" / "notes.txt"
    kept.write_text("mine")
    run(corpus, out, config(steps=5, save_every_steps=1))
    names = sorted(p.name for p in (out / "checkpoints").iterdir())
    assert names == ["step-00000001", "step-00000004", "step-00000005"]
    assert kept.read_text() == "mine"


def test_another_model_or_setting_is_refused_by_name(corpus, alone):
    with pytest.raises(CheckpointError, match=r"recipe.learning_rate was 0.001 and is 0.01"):
        run(corpus, alone, config(learning_rate=0.01))


def test_other_data_are_refused_by_name(corpus, tmp_path):
    out, other = tmp_path / "run", speaking(tmp_path / "other", num_clips=8)
    run(corpus, out, config(steps=3))
    with pytest.raises(StateError, match="had 10 samples and has 6"):
        run(other, out, config(steps=6))


def test_weights_tell_what_they_are(alone):
    tensors, about = load_weights(alone)
    assert about.model == "slts" and about.config["shape"]["width"] == 0.125
    assert about.facts["speakers"] == ["spk-0", "spk-1"]
    assert about.data["corpora"][0]["num_samples"] == 10
    assert all(t.dtype in (torch.float32, torch.int64) for t in tensors.values())
    (alone / "foreign.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match=r"foreign.safetensors cannot be read"):
        load_weights(alone / "foreign.safetensors")


def test_judged_weights_are_the_average(alone):
    weights, state = load_file(last(alone) / WEIGHTS), load_file(last(alone) / STATE)
    name = "encoder.resnet.conv1.weight"
    assert not torch.equal(weights[name], state[f"system.network.{name}"])


def steady(has_vocoder: bool = False, **recipe) -> SltsConfig:
    """Nothing in it depends on who stands beside whom: no dropout, no statistics of a batch.

    And little on rounding: by SGD, for Adam's steps are as large for a gradient of 1e-10 as for one
    of 1.
    """
    settings = {"freeze_batch_norm": True, "average": None, "optimizer": "sgd", **recipe}
    made = config(learning_rate=0.003, **settings)
    made = replace(made, shape=replace(made.shape, dropout=0.0))
    return made if has_vocoder else replace(made, vocoder_clips=0)


def assert_same(one: Path, many: Path, tolerance: float, names: tuple[str, ...]) -> None:
    first, second = losses(one), losses(many)
    assert len(first) == len(second) > 0
    for name in names:
        np.testing.assert_allclose(
            [row[name] for row in first],
            [row[name] for row in second],
            rtol=tolerance,
            err_msg=name,
        )


@pytest.mark.parametrize("num_ranks", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_ranks_take_the_ten_steps_of_one_process(corpus, tmp_path, num_ranks):
    settings = steady(steps=10, save_every_steps=10)
    run(corpus, tmp_path / "one", settings)
    together(request(corpus, tmp_path / "many", settings), num_ranks)
    assert_same(tmp_path / "one", tmp_path / "many", 1e-5, ("hard", "soft", "ssm"))


def test_ranks_share_the_vocoder_too(corpus, tmp_path):
    """Its losses are of the whole batch's sound. Gradients of log magnitudes near 0 are what the
    last digits of a Fourier transform make them (two ranks' differ by .5 % in some layers, and by
    1e-5 without that loss), so few steps and a wider tolerance."""
    settings = steady(has_vocoder=True, steps=3)
    run(corpus, tmp_path / "one", settings)
    together(request(corpus, tmp_path / "many", settings), 2)
    names = ("convergence", "log_magnitude", "stoi")
    assert_same(tmp_path / "one", tmp_path / "many", 1e-3, names)


@pytest.mark.slow
def test_two_ranks_are_gone_on_with_by_one_and_by_four(corpus, tmp_path):
    settings = steady(steps=8)
    half = replace(settings, recipe=replace(settings.recipe, steps=4))
    run(corpus, tmp_path / "one", settings)
    for num_ranks in (1, 4):
        out = tmp_path / f"then-{num_ranks}"
        together(request(corpus, out, half), 2)
        together(request(corpus, out, settings), num_ranks)
        assert_same(tmp_path / "one", out, 1e-5, ("hard", "soft", "ssm"))


def test_parts_of_a_step_add_up_to_it(corpus, tmp_path):
    """Clips of one length, so that the mean of the parts' means is the mean of all."""
    settings = steady(steps=3)
    settings = replace(settings, shape=replace(settings.shape, asm=False))
    run(corpus, tmp_path / "whole", settings)
    parts = replace(settings, recipe=replace(settings.recipe, accumulate=2))
    run(corpus, tmp_path / "parts", parts)
    assert_same(tmp_path / "whole", tmp_path / "parts", 1e-4, ("hard",))


@pytest.mark.parametrize("figures", [{}, {"aligned_loss": float("nan")}])
def test_a_judgement_without_its_figure_keeps_no_weights(corpus, tmp_path, monkeypatch, figures):
    monkeypatch.setattr(SLTS.system_class, "figures", lambda self, rows: figures)
    outcome = run(corpus, tmp_path / "run", config(steps=1))
    assert outcome.step == 1 and outcome.best is None
    assert not (tmp_path / "run" / "best.safetensors").exists()
    assert load_weights(tmp_path / "run")[1].step == 1  # the last checkpoint's


def test_handlers_of_signals_stay_as_libraries_set_them(corpus, tmp_path):
    """Also those that were set in C, of which Python does not know."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal(signal.SIGPROF, ctypes.cast(libc.abs, ctypes.c_void_p))
    try:
        before = handlers_in_c()
        assert before[signal.SIGPROF] > 1
        run(corpus, tmp_path / "run", config(steps=1))
        assert handlers_in_c() == before
    finally:
        libc.signal(signal.SIGPROF, None)


def handlers_in_c() -> dict[int, int]:
    """Address of each signal's handler, by libc's own word."""
    libc, found = ctypes.CDLL(None), {}
    for number in (signal.SIGSEGV, signal.SIGPROF, signal.SIGTERM, signal.SIGINT):
        action = (ctypes.c_void_p * 32)()
        assert libc.sigaction(int(number), None, ctypes.byref(action)) == 0
        found[number] = action[0] or 0
    return found


def test_patience_ends_a_run_that_gets_no_better(corpus, tmp_path):
    settings = config(steps=40, patience=1, validate_every_steps=1, learning_rate=1e-12)
    settings = replace(settings, recipe=replace(settings.recipe, average=None))
    settings = replace(settings, recipe=replace(settings.recipe, freeze_batch_norm=True))
    outcome = run(corpus, tmp_path / "run", settings)
    assert outcome.why == "patience" and outcome.step < 10


def test_patience_begins_with_the_first_figure(corpus, tmp_path, monkeypatch):
    """Models of several stages have nothing to judge in their first."""
    figures, told = SLTS.system_class.figures, []
    monkeypatch.setattr(
        SLTS.system_class,
        "figures",
        lambda self, rows: figures(self, rows) if self.step >= 4 else {},
    )
    asked = request(corpus, tmp_path / "run", config(steps=5, patience=0, validate_every_steps=1))
    outcome = train(asked, told.append)
    assert outcome.step >= 4 and outcome.best_step is not None
    assert any("no weights are chosen yet" in line for line in told)


def test_a_run_that_begins_anew_keeps_the_weights_of_before(corpus, tmp_path):
    out, told = tmp_path / "run", []
    run(corpus, out, config(steps=2, validate_every_steps=1))
    before = (out / "best.safetensors").read_bytes()
    with open(last(out) / STATE, "r+b") as file:
        file.truncate(100)
    with pytest.raises(CheckpointError, match="move it away to begin anew, for there is none"):
        run(corpus, out, config(steps=3, validate_every_steps=1))
    shutil.rmtree(out / "checkpoints")
    train(request(corpus, out, config(steps=1, validate_every_steps=1)), told.append)
    assert (out / "best-1.safetensors").read_bytes() == before
    assert any("beginning anew" in line and "best-1.safetensors" in line for line in told)


def test_the_rate_is_a_function_of_the_step():
    """Niu and Mak 4.4: 0 at the start, 5e-4 after 1k steps, 0 at 50k."""
    recipe = SLTS.presets["paper"]().recipe
    assert rate_at(recipe, 0) == 0 and rate_at(recipe, 1000) == pytest.approx(5e-4)
    assert rate_at(recipe, 500) == pytest.approx(2.5e-4)
    assert rate_at(recipe, 25_500) == pytest.approx(2.5e-4)
    assert rate_at(recipe, 50_000) == pytest.approx(0)
    steps = Recipe(schedule="exponential", learning_rate=1e-3, decay=0.95, decay_steps=10)
    assert rate_at(steps, 25) == pytest.approx(1e-3 * 0.95**2)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_amsgrad_keeps_the_largest_second_moment(kind):
    def moved(amsgrad: bool) -> float:
        weight = torch.nn.Parameter(torch.zeros(1))
        recipe = Recipe(optimizer=kind, learning_rate=1.0, amsgrad=amsgrad, beta1=0.0, beta2=0.5)
        optimizer = optimizer_of(recipe, [weight])
        for gradient in (100.0, *[1.0] * 20):
            weight.grad = torch.tensor([gradient])
            before = weight.item()
            optimizer.step()
        return before - weight.item()

    assert moved(True) < 0.05 < 0.5 < moved(False)
    assert KINDS["lip2speech"].presets["code"]().recipe.amsgrad


def test_a_setting_that_came_later_is_no_other_training():
    """A run of an earlier release goes on: what it did not know is what nobody set."""
    kind = KINDS["syncnet"]
    told = to_mapping(kind.presets["tiny"]())
    had = {"model": "syncnet", **json.loads(json.dumps(told))}
    del had["data"]["decoder"], had["recipe"]["seed"]

    def lines(now) -> list[str]:
        request = Request(kind, "tiny", None, now, [], Path("x"))
        whole = runs._with_later_settings(had, request)
        return list(runs._differences(whole, {"model": "syncnet", **now}))

    assert lines(told) == []
    changed = told | {"data": told["data"] | {"by_length": 3}}
    assert lines(changed) == ["data.by_length was 0 and is 3"]


def test_bytes_that_changed_in_a_checkpoint_are_told(corpus, tmp_path):
    out = tmp_path / "run"
    run(corpus, out, config(steps=3))
    checkpoint = last(out)
    whole, _ = load_weights(checkpoint)
    for path in (checkpoint / WEIGHTS, checkpoint / STATE):
        content = bytearray(path.read_bytes())
        content[-20] ^= 0xFF
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_weights(checkpoint)
    with pytest.raises(CheckpointError, match="holds other bytes than were written"):
        run(corpus, out, config(steps=4))
    assert digest(whole) == digest(dict(reversed(whole.items())))
