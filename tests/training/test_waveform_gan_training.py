"""The waveform GAN in training: who is moved when, exactness, and what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from manifests.media.encode import encode_flac
from manifests.shards import SampleIndex, ShardError, ShardSample, read_samples, write_samples
from pipeline.config.settings import to_mapping
from tests.training.mouths import speaking
from tests.training.ranks import together
from tests.training.test_harness import last, losses
from training.data.mixture import Row
from training.data.views import View
from training.harness.checkpoints import STATE, WEIGHTS, load_weights
from training.harness.data import DataConfig
from training.harness.run import Request, train
from training.models.catalogue import KINDS
from training.models.waveform_gan import speak
from training.models.waveform_gan.config import GanConfig, GanView, SpeechConfig, small, without
from training.models.waveform_gan.network import Generator
from training.models.waveform_gan.objective import LossWeights
from training.models.waveform_gan.speak import GanSpeaker
from training.models.waveform_gan.system import GanSystem

pytestmark = pytest.mark.usefixtures("one_thread")
KIND = KINDS["waveform_gan"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return speaking(tmp_path_factory.mktemp("mouths"))


def config(**recipe) -> GanConfig:
    """Every part of the paper's model, at an eighth of the width."""
    plain = small()
    settings = {"steps": 4, "batch": 4, "save_every_steps": 2, "validate_every_steps": 0}
    settings |= {"learning_rate": 3e-4, **recipe}
    return replace(
        plain,
        loss=LossWeights(),
        critic_updates=6,
        shape=replace(plain.shape, width=0.0625),
        view=GanView(num_frames=26),
        speech=SpeechConfig(steps=2, width=0.125),
        data=DataConfig(held_out=0.2, judged_clips=2),
        recipe=replace(plain.recipe, **settings),
    )


def request(corpus: Path, out: Path, settings: GanConfig) -> Request:
    return Request(KIND, "tiny", settings, to_mapping(settings), [str(corpus)], out)


def run(corpus: Path, out: Path, settings: GanConfig):
    return train(request(corpus, out, settings), lambda _: None)


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    run(corpus, out, config(steps=6))
    return out


def test_first_the_speech_encoder_learns_and_then_it_stays(corpus, tmp_path):
    settings = config(save_every_steps=1, steps=3)
    settings = replace(settings, loss=small().loss)
    run(corpus, tmp_path / "run", settings)
    rows = losses(tmp_path / "run")
    assert [set(row) & {"mouth_l1", "l1"} for row in rows] == [{"mouth_l1"}] * 2 + [{"l1"}]
    assert {"tv", "adversarial", "perceptual", "distance", "penalty", "spectral"} <= set(rows[2])
    states = []
    for step in (2, 3):
        folder = tmp_path / "run" / "checkpoints" / f"step-0000000{step}"
        network = {f"system.network.{k}": v for k, v in load_file(folder / WEIGHTS).items()}
        states.append(load_file(folder / STATE) | network)
    for part, moves in (("hearing", False), ("critic", True), ("network", True)):
        names = [n for n in states[0] if n.startswith(f"system.{part}.") and "weight" in n]
        assert names
        same = [torch.equal(states[0][n], states[1][n]) for n in names]
        assert not any(same) if moves else all(same), part


def test_six_updates_of_the_critic_for_one_of_the_generator(corpus, tmp_path, monkeypatch):
    moved = []
    plain = GanSystem._move

    def counted(self, player, optimizer):
        moved.append(player)
        return plain(self, player, optimizer)

    monkeypatch.setattr(GanSystem, "_move", counted)
    settings = config(steps=2)
    run(corpus, tmp_path / "run", replace(settings, speech=replace(settings.speech, steps=0)))
    assert moved == (["critic"] * 6 + ["network"]) * 2


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(corpus, alone, tmp_path):
    run(corpus, tmp_path / "run", config(steps=3))
    run(corpus, tmp_path / "run", config(steps=6))
    assert losses(tmp_path / "run") == losses(alone)
    for name in (WEIGHTS, STATE):
        mine, theirs = load_file(last(tmp_path / "run") / name), load_file(last(alone) / name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_two_ranks_take_the_ten_steps_of_one_process(corpus, tmp_path):
    settings = config(steps=10, freeze_batch_norm=True, optimizer="sgd", learning_rate=1e-5)
    run(corpus, tmp_path / "one", settings)
    together(request(corpus, tmp_path / "two", settings), 2)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    # phi of real and made sound differ by thousandths of +-1: their distance has lost two digits.
    for name, begin, close in (
        ("mouth_l1", 0, 1e-5),
        ("l1", 2, 1e-5),
        ("tv", 2, 1e-5),
        ("perceptual", 2, 1e-4),
    ):
        found = [[row[name] for row in rows if name in row] for rows in (one, two)]
        assert len(found[0]) == (2 if begin == 0 else 8)
        np.testing.assert_allclose(*found, rtol=close, err_msg=name)


def test_judging_tells_mcd_and_stoi_of_each_clip(alone):
    told = json.loads((alone / "judged.json").read_text())
    assert len(told["clips"]) == 2
    for figures in told["clips"].values():
        assert figures["mcd"] > 0 and figures["l1"] > 0 and -1 <= figures["stoi"] <= 1
    _, about = load_weights(alone)
    assert about.facts == {"speech_encoder": "own, 2 steps on the training part"}


@pytest.mark.parametrize("term", ["l1", "tv", "perceptual", "adversarial"])
def test_a_term_can_be_left_out_as_in_table_3(corpus, tmp_path, term):
    settings = without(config(steps=1), term)
    settings = replace(settings, speech=replace(settings.speech, steps=0))
    run(corpus, tmp_path / "run", settings)
    assert {"l1", "tv", "perceptual", "adversarial"} - set(losses(tmp_path / "run")[0]) == {term}


def test_one_batch_is_learnt_by_heart(tmp_path):
    """By the samples' distance alone, as the sheet has it."""
    settings = config(steps=260, batch=1, learning_rate=3e-3, beta1=0.9, beta2=0.999)
    for term in ("tv", "perceptual", "adversarial"):
        settings = without(settings, term)
    settings = replace(
        settings,
        critic_updates=0,
        shape=replace(settings.shape, width=0.25),
        view=GanView(num_frames=26, mirror=False),
        speech=SpeechConfig(steps=0, width=0.125),
    )
    run(speaking(tmp_path / "corpus", num_clips=2, num_frames=26), tmp_path / "run", settings)
    found = [row["l1"] for row in losses(tmp_path / "run")]
    assert np.mean(found[-5:]) < 0.5 * found[0]


# -- speaking ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 50_000])
def test_pieces_are_one_pass_over_the_whole(monkeypatch, rate):
    settings = replace(config(), shape=replace(config().shape, sample_rate=rate))
    torch.manual_seed(0)
    speaker = GanSpeaker(Generator(settings.shape).state_dict(), settings, {})
    pictures = np.random.default_rng(0).integers(0, 255, (20, 32, 48, 3), np.uint8)
    whole = speaker.speak(pictures)
    assert whole.shape == (20 * 640,) and whole.dtype == np.float32
    monkeypatch.setattr(speak, "PIECE_FRAMES", 7)
    np.testing.assert_allclose(speaker.speak(pictures), whole, atol=1e-5)
    assert len(speaker.speak(pictures[:1])) == 640
    with pytest.raises(ValueError, match="no speaker anna"):
        speaker.speak(pictures, "anna")


# -- sound above 16 kHz --------------------------------------------------------------------------


def widened(root: Path, rate: int) -> Path:
    """The same corpus with a tone at the middle of each frame's samples as wide sound."""
    path = root / "train" / "000000.tar"
    made = []
    for sample in read_samples(path):
        frames = sample.facts["num_frames"]
        time = np.arange(frames * rate // 25) / rate
        tone = (8000 * np.sin(2 * np.pi * 10_000 * time)).astype(np.int16)
        members = {**sample.members, "audio.wide.flac": encode_flac(tone, rate)}
        made.append(ShardSample(sample.key, members))
    with open(path, "wb") as file:
        write_samples(file, made)
    SampleIndex.scan(path).write()
    return root


def test_the_50_khz_model_trains_on_wide_sound_and_names_the_setting_without(corpus, tmp_path):
    settings = config(steps=1)
    settings = replace(
        settings,
        shape=replace(settings.shape, sample_rate=50_000),
        speech=replace(settings.speech, steps=0),
    )
    with pytest.raises(ValueError, match=r"clips.wide_audio=true"):
        run(corpus, tmp_path / "none", settings)
    wide = widened(speaking(tmp_path / "wide", num_clips=6), 44_100)
    run(wide, tmp_path / "run", settings)
    assert losses(tmp_path / "run")[0]["l1"] > 0


def test_a_window_of_wide_sound_is_at_the_pictures_time(corpus, tmp_path):
    sample = next(read_samples(widened(speaking(tmp_path, 1), 44_100) / "train" / "000000.tar"))
    row = Row(0, seed=0, corpus=0, epoch=0, index=0, number=0)
    view = View("vougioukas", 32, num_frames=10, wide_rate=50_000)
    example = view.decode(sample, row)
    first = int(example["first_frame"])
    found = np.asarray(example["wide"])
    assert found.shape == (20_000,) and found.dtype == np.float32
    time = (2000 * first + np.arange(20_000)) / 50_000
    wanted = 8000 / 32768 * np.sin(2 * np.pi * 10_000 * time)
    inside = slice(200, -200)
    np.testing.assert_allclose(found[inside], wanted[inside], atol=2e-3)
    plain = next(read_samples(corpus / "train" / "000000.tar"))
    with pytest.raises(ShardError, match=r"clips.wide_audio=true"):
        view.decode(plain, row)
