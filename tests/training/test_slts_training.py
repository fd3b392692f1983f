"""SLTS in training: its critics, its precision, its rows without the mechanism, and what judges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.mouths import speaking
from tests.training.test_harness import config, last, losses, run
from training.data.mixture import Row
from training.harness.checkpoints import STATE
from training.models.slts.config import PRESETS, SltsView, without_asm
from training.models.slts.examples import SltsDecode
from training.models.slts.system import determination

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return speaking(tmp_path_factory.mktemp("mouths"))


def test_critics_and_vocoder_are_moved_each_by_its_own_loss(corpus, tmp_path):
    settings = replace(config(steps=2, save_every_steps=1), discriminators=True)
    settings = replace(settings, discriminator_width=0.0625)
    run(corpus, tmp_path / "run", settings)
    row = losses(tmp_path / "run")[-1]
    assert row["critics"] > 0 and row["adversarial"] > 0
    assert row["gradient_critics"] > 0 and row["gradient_network"] > 0
    first, second = (
        load_file(tmp_path / "run" / "checkpoints" / f"step-0000000{n}" / STATE) for n in (1, 2)
    )
    critics = [n for n in first if n.startswith("system.critics") and "weight" in n]
    assert critics and all(not torch.equal(first[n], second[n]) for n in critics)


@pytest.mark.parametrize("change", ["bf16", "without_asm", "recompute"])
def test_each_way_of_training_lowers_the_loss(corpus, tmp_path, change):
    settings = replace(config(steps=12, warmup_steps=0, learning_rate=3e-3), vocoder_clips=0)
    if change == "bf16":
        settings = replace(settings, recipe=replace(settings.recipe, precision="bf16"))
    elif change == "without_asm":
        settings = without_asm(settings)
    else:
        settings = replace(settings, shape=replace(settings.shape, recompute=True))
    run(corpus, tmp_path / "run", settings)
    rows = losses(tmp_path / "run")
    assert ("soft" in rows[0]) == (change != "without_asm")
    hard = [row["hard"] for row in rows]
    assert np.mean(hard[-3:]) < 0.9 * np.mean(hard[:3])


def test_one_batch_is_learnt_by_heart(tmp_path):
    """The same four clips each step, each with a plant of its own."""
    settings = config(steps=80, batch=4, learning_rate=3e-3, average=None)
    view = SltsView(crop="lip", num_frames=28, plant_columns=5)
    settings = replace(settings, view=view, vocoder_clips=0)
    run(speaking(tmp_path / "corpus", num_clips=5), tmp_path / "run", settings)
    hard = [row["hard"] for row in losses(tmp_path / "run")]
    assert np.mean(hard[-5:]) < 0.33 * hard[0]


def test_judging_tells_of_each_clip_that_was_held_out(corpus, tmp_path):
    settings = replace(config(steps=1), by_frontend=True)
    outcome = run(corpus, tmp_path / "run", settings)
    told = json.loads((tmp_path / "run" / "judged.json").read_text())
    assert len(told["clips"]) == 2
    for figures in told["clips"].values():
        assert {"aligned_loss", "frontend_ms", "offset_ms", "planted_ms"} <= figures.keys()
        assert abs(figures["planted_ms"]) <= 50 and figures["planted_ms"] % 10 == 0
    assert outcome.best is not None and 0 <= outcome.best["a_stoi"] <= 1
    assert last(tmp_path / "run").name == "step-00000001"


def test_a_plant_is_the_clips_own_unless_it_is_drawn_anew():
    view = SltsView(plant_columns=15)
    decode = SltsDecode(view.view(PRESETS["tiny"]().shape), view, 3, {})
    rows = [Row(p, seed=3, corpus=0, epoch=p, index=0, number=0) for p in range(20)]
    assert len({decode.plant("a", row) for row in rows}) == 1
    plants = [decode.plant(f"clip-{k}", rows[0]) for k in range(400)]
    assert min(plants) == -15 and max(plants) == 15 and abs(np.mean(plants)) < 1.5
    fresh = replace(decode, settings=replace(view, redraw_plants=True))
    assert len({fresh.plant("a", row) for row in rows}) > 5


def test_determination_is_none_where_nothing_varies():
    assert determination(np.ones(4), np.ones(4)) is None
    assert determination(np.arange(4.0), np.arange(4.0)) == 1
    assert determination(np.arange(4.0), np.full(4, 1.5)) == 0
