"""Vid2Speech: its line spectra, its network, its training and its whisper."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.config.settings import to_mapping
from tests.training.mouths import speaking
from tests.training.ranks import together
from tests.training.test_two_tower import voice
from training.data.line_spectrum import (
    LEAST_SPACING,
    filters_of,
    frequencies_of,
    line_spectrum,
    predictors,
    sound_of,
    stable,
)
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.harness.run import Request, train
from training.models.catalogue import KINDS
from training.models.vid2speech.config import PRESETS, Vid2SpeechConfig, Vid2SpeechShape
from training.models.vid2speech.network import Vid2Speech, clips_in
from training.models.vid2speech.speak import Vid2SpeechSpeaker

pytestmark = pytest.mark.usefixtures("one_thread")


def test_parameters_and_shape_of_the_paper():
    network = Vid2Speech(Vid2SpeechShape()).eval()
    assert sum(p.numel() for p in network.parameters()) == 1_917_650
    assert network(torch.zeros(2, 9, 128, 128)).shape == (2, 18)
    assert network.convolutions(torch.zeros(1, 9, 128, 128)).shape == (1, 128, 4, 4)


def test_filters_and_frequencies_are_each_others_way_back():
    noise = np.random.default_rng(0).standard_normal((40, 320))
    filters, gains = predictors(np.cumsum(noise, 1) * np.hanning(320))
    found = frequencies_of(filters)
    assert found.shape == (40, 8) and (np.diff(found, axis=1) > 0).all()
    assert (found > 0).all() and (found < np.pi).all() and (gains > 0).all()
    assert np.abs(filters_of(found) - filters).max() < 1e-6


def test_silence_has_no_gain_and_even_frequencies():
    made = line_spectrum(np.zeros(3200, np.int16))
    assert made.shape == (5, 18) and (made[:, 16:] == 0).all()
    np.testing.assert_allclose(made[0, :8], np.arange(1, 9) * np.pi / 9, atol=1e-4)
    assert (sound_of(made) == 0).all()


def test_values_lie_as_the_paper_packs_them():
    """The first window's pairs, the second's, then both gains: a click in the second half of a
    frame is louder there."""
    sound = np.zeros(640 * 6)
    sound[640 * 3 + 480] = 0.5
    made = line_spectrum(sound)
    assert made[3, 17] > 10 * made[3, 16] and made[3, 17] == made[:, 16:].max()


def test_true_values_keep_the_spectral_envelope():
    sound = voice()
    made = sound_of(line_spectrum(sound))
    assert made.shape == sound.shape and made.dtype == np.float32
    again = line_spectrum(made)
    truth = line_spectrum(sound)

    def envelope(values: np.ndarray) -> np.ndarray:
        filters = filters_of(values[:, :8].astype(float))
        response = values[:, 16:17] / np.abs(np.fft.rfft(filters, 256, axis=1))
        return np.median(20 * np.log10(response + 1e-6), 0)

    gap = envelope(again[5:-5]) - envelope(truth[5:-5])
    assert np.sqrt(np.mean(np.square(gap))) < 3


def test_predicted_frequencies_are_made_stable():
    wild = np.random.default_rng(0).normal(1.5, 2, (200, 8))
    held = stable(wild)
    assert (np.diff(held, axis=1) > LEAST_SPACING / 2).all()
    assert (held > 0).all() and (held < np.pi).all()
    assert np.abs(np.roots(filters_of(held)[0])).max() < 1


def test_clips_are_windows_of_frames_in_order():
    frames = torch.arange(11.0)[None, :, None, None]
    assert clips_in(frames, 9)[0, :, :, 0, 0].tolist() == [
        [float(i + k) for k in range(9)] for i in range(3)
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return speaking(tmp_path_factory.mktemp("mouths"))


def config(**recipe) -> Vid2SpeechConfig:
    settings = {"steps": 10, "batch": 4, "save_every_steps": 5, **recipe}
    return Vid2SpeechConfig(
        Vid2SpeechShape(width=0.25, picture_px=32),
        frames_per_clip=4,
        data=DataConfig(held_out=0.2, judged_clips=2),
        recipe=Recipe(**settings),
    )


def request(corpus: Path, out: Path, settings: Vid2SpeechConfig) -> Request:
    told = to_mapping(settings)
    return Request(KINDS["vid2speech"], "tiny", settings, told, [str(corpus)], out)


def losses(out: Path) -> list[float]:
    lines = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "train"]


def run(corpus: Path, out: Path, settings: Vid2SpeechConfig) -> list[float]:
    train(request(corpus, out, settings), lambda _: None)
    return losses(out)


GOLDEN = [3.3237, 2.62706, 2.59765, 3.1319, 2.74988, 2.39106, 2.91459, 2.8225, 2.44952, 2.30232]


def test_ten_steps_are_as_they_were_and_go_on_to_the_same_bits(corpus, tmp_path):
    alone = run(corpus, tmp_path / "alone", config())
    np.testing.assert_allclose(alone, GOLDEN, rtol=2e-3, err_msg=str([round(x, 5) for x in alone]))
    run(corpus, tmp_path / "run", config(steps=5))
    assert run(corpus, tmp_path / "run", config()) == alone


def test_two_ranks_take_the_steps_of_one(corpus, tmp_path):
    settings = config(steps=3, freeze_batch_norm=True, learning_rate=1e-4)
    settings = replace(settings, shape=replace(settings.shape, dropout=0.0))
    one = run(corpus, tmp_path / "one", settings)
    together(request(corpus, tmp_path / "two", settings), 2)
    np.testing.assert_allclose(losses(tmp_path / "two"), one, rtol=1e-5)


def test_one_batch_is_learnt_by_heart():
    torch.manual_seed(0)
    network = Vid2Speech(replace(config().shape, dropout=0.0))
    clips, truth = torch.randn(16, 9, 32, 32), torch.randn(16, 18)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        loss = (network(clips) - truth).square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1e-3


def test_it_whispers_as_long_as_it_is_seen():
    settings = PRESETS["tiny"]()
    torch.manual_seed(0)
    facts = {"speakers": ["a"], "pixel_mean": 0.4, "mean": [*range(1, 9)] * 2 + [0.1] * 2}
    facts["mean"] = [x * np.pi / 9 if i < 16 else x for i, x in enumerate(facts["mean"])]
    facts["deviation"] = [0.05] * 18
    made = Vid2SpeechSpeaker(Vid2Speech(settings.shape).state_dict(), settings, facts)
    pictures = np.random.default_rng(0).integers(0, 255, (12, 64, 64), np.uint8)
    sound = made.speak(pictures)
    assert sound.shape == (640 * 12,) and sound.dtype == np.float32
    assert 0 < np.abs(sound).max() <= 1 and (made.speak(pictures) == sound).all()
    assert (made.speak(pictures, seed=1) != sound).any()
    with pytest.raises(ValueError, match="no speaker b"):
        made.speak(pictures, "b")
