"""Lip2AudSpec: its spectrogram, its networks, its training in two parts, and its voice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from manifests.shards import ShardError, ShardSample
from pipeline.config.settings import to_mapping
from tests.training.mouths import speaking
from tests.training.test_two_tower import voice
from training.data.auditory import auditory_sound, auditory_spectrum, bank, unbanked
from training.data.loader import mixture_of
from training.data.mixture import EvaluationPlan, Row
from training.harness.data import DataConfig, parts_of
from training.harness.recipe import Recipe
from training.harness.run import Request, train
from training.models.catalogue import KINDS
from training.models.lip2audspec.config import Lip2AudSpecConfig, Lip2AudSpecShape
from training.models.lip2audspec.network import Coder, Eyes, Lip2AudSpec, windows_in
from training.models.lip2audspec.objective import LossWeights, corr2d, corr2d_and_squares, sizes
from training.models.lip2audspec.speak import Lip2AudSpecSpeaker
from training.models.lip2audspec.system import GRAIN, GRAINY, MIRRORED, Lip2AudSpecSystem, decode_of

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = Lip2AudSpecShape(width=0.125, coder_width=0.125, picture_px=32)


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(corr2d(torch.from_numpy(one), torch.from_numpy(other)))


def test_parameters_of_the_paper():
    with torch.device("meta"):
        made = Lip2AudSpec.__new__(Lip2AudSpec)
        nn.Module.__init__(made)
        made.coder, made.eyes = Coder(Lip2AudSpecShape()), Eyes(Lip2AudSpecShape())
    assert size(made.coder) == 170_848 and size(made.eyes) == 12_695_104
    small = made.eyes.convolutions.to_empty(device="cpu")
    assert small(torch.zeros(1, 3, 5, 128, 128)).shape == (1, 128, 5, 4, 4)


def test_shapes():
    made = Lip2AudSpec(SMALL).eval()
    codes = made.eyes(torch.rand(3, 3, 5, 32, 32)).detach()
    assert codes.shape == (3, 32, 20) and float(codes.min()) > 0 and float(codes.max()) < 1
    assert made.columns(torch.zeros(2, 77, 32, 32)).shape == (2, 300, 128)


def test_there_are_fifteen_windows_of_a_clip_of_grid_and_a_still_one_has_no_differences():
    pictures = torch.randint(0, 255, (1, 1, 8, 8), dtype=torch.uint8).repeat(1, 77, 1, 1)
    windows = windows_in(pictures)
    assert windows.shape == (1, 15, 3, 5, 8, 8)
    assert float(windows[:, :, 0].min()) == 0 and float(windows[:, :, 0].max()) == 1
    assert (windows[:, :, 1:] == 0).all()


def test_differences_are_first_and_second():
    pictures = torch.zeros(1, 7, 1, 3)
    pictures[0, :, 0, 2] = 10
    pictures[0, :, 0, 1] = torch.tensor([0.0, 1, 4, 9, 9, 9, 9])
    middle = windows_in(pictures)[0, 0, :, :, 0, 1]
    wanted = [[0.4, 0.9, 0.9, 0.9, 0.9], [0.3, 0.5, 0, 0, 0], [0.2, 0.2, -0.5, 0, 0]]
    torch.testing.assert_close(middle, torch.tensor(wanted))


def test_loss_is_minus_one_for_what_differs_by_a_constant():
    truth = torch.randn(4, 32, 20)
    for guess in (truth, truth + 3):
        torch.testing.assert_close(corr2d_and_squares(truth, guess), torch.tensor(-1.0))
    torch.testing.assert_close(corr2d(truth, -2 * truth), torch.tensor(-1.0))
    assert float(sizes([torch.tensor([1.0, -2.0])], 0.1, 0.01)) == pytest.approx(0.35)


def test_the_auditory_spectrogram_of_a_tone_is_loudest_at_its_band_and_comes_back():
    time = np.arange(640 * 10) / 16000
    tone = 0.3 * np.sin(2 * np.pi * 180 * 2 ** (72 / 24) * time)
    columns = auditory_spectrum(tone)
    assert columns.shape == (40, 128) and columns.dtype == np.float32
    assert (columns[5:-5].argmax(1) == 72).all()
    sound = voice()
    columns = auditory_spectrum(sound)
    made = auditory_sound(columns)
    assert made.shape == sound.shape and made.dtype == np.float32
    assert correlation(columns, auditory_spectrum(made)) > 0.97
    assert (auditory_sound(np.zeros((40, 128))) == 0).all()


def test_magnitudes_under_the_bells_are_found_again():
    truth = np.random.default_rng(0).random((3, 321)) * np.hanning(321)
    found = unbanked(truth @ bank().T)
    assert (found >= 0).all()
    np.testing.assert_allclose(found @ bank().T, truth @ bank().T, rtol=0.1)


# -- training --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return speaking(tmp_path_factory.mktemp("mouths"), num_clips=8, num_frames=24)


def config(**recipe) -> Lip2AudSpecConfig:
    settings = {"steps": 14, "batch": 4, "save_every_steps": 7, "learning_rate": 1e-3, **recipe}
    return Lip2AudSpecConfig(
        SMALL,
        windows_per_row=2,
        coder_steps=4,
        data=DataConfig(held_out=0.2, judged_clips=2),
        recipe=Recipe(**settings),
    )


def request(corpus: Path, out: Path, settings: Lip2AudSpecConfig) -> Request:
    told = to_mapping(settings)
    return Request(KINDS["lip2audspec"], "tiny", settings, told, [str(corpus)], out)


def losses(out: Path, name: str) -> list[float]:
    lines = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if line["kind"] == "train" and name in line]


def run(corpus: Path, out: Path, settings: Lip2AudSpecConfig) -> dict[str, list[float]]:
    train(request(corpus, out, settings), lambda _: None)
    return {name: losses(out, name) for name in ("coder", "loss")}


GOLDEN = {
    "coder": [0.24851, 0.24245, 0.24482, 0.22726],
    "loss": [
        0.09412,
        0.06803,
        0.0521,
        0.04389,
        0.03578,
        0.02144,
        0.03652,
        0.00481,
        -0.01674,
        -0.02674,
    ],
}


def test_steps_are_as_they_were_and_go_on_to_the_same_bits(corpus, tmp_path):
    """Four of the autoencoder and ten of the network."""
    alone = run(corpus, tmp_path / "alone", config())
    found = {name: [round(x, 5) for x in values] for name, values in alone.items()}
    assert [len(values) for values in found.values()] == [4, 10]
    assert GOLDEN.keys() == found.keys(), found
    for name, wanted in GOLDEN.items():
        np.testing.assert_allclose(found[name], wanted, rtol=2e-3, atol=2e-4, err_msg=str(found))
    run(corpus, tmp_path / "run", config(steps=7))
    assert run(corpus, tmp_path / "run", config()) == alone
    told = json.loads((tmp_path / "alone" / "judged.json").read_text())
    assert len(told["clips"]) == 2
    assert all(-1 <= c["corr2d"] <= 1 for c in told["clips"].values())


def test_steps_of_the_autoencoder_decode_no_pictures(corpus):
    settings = config()
    parts = parts_of([corpus], settings.data, KINDS["lip2audspec"].wanted(settings))
    decode = decode_of(parts, settings, {})
    whole = parts.learnt[0][0]
    broken = ShardSample(whole.key, {**whole.members, "face.mp4": b"no video"})
    first = settings.coder_steps * settings.recipe.batch
    for position, is_judged in ((first - 1, False), (first, False), (0, True)):
        is_seen = is_judged or position == first
        row = Row(position, 0, 0, 0, 0, 0, is_judged=is_judged)
        example = decode(whole, row)
        assert example["video"].shape[1:] == ((32, 32) if is_seen else (1, 1))
        assert len(example["video"]) == settings.num_frames
        if is_seen:
            with pytest.raises(ShardError):
                decode(broken, row)
        else:
            assert (decode(broken, row)["sound"] == example["sound"]).all()
    plan = EvaluationPlan(mixture_of([*parts.judging], [1], 0), 4)
    assert plan.row(0).is_judged and plan.row(10_000).is_judged


def test_each_part_moves_its_own_network(corpus):
    system = Lip2AudSpecSystem(config(), {})
    system.train()
    batch = {
        "video": torch.randint(0, 255, (2, 12, 32, 32), dtype=torch.uint8),
        "sound": torch.rand(2, 48, 128),
        "look": torch.tensor([MIRRORED, GRAINY]),
        "position": torch.arange(2),
    }
    for done, player in ((0, "coder"), (4, "eyes")):
        system.parts_done = done
        (turn,) = list(system.rounds(batch))
        assert turn.player == player
        system.zero_grad(set_to_none=True)
        turn.loss.backward()
        for name, network in system.players().items():
            had = [p.grad is not None for p in network.parameters()]
            assert all(had) if name == player else not any(had)
    plain = windows_in(batch["video"])
    varied = system._windows(batch)
    assert torch.equal(varied[0], plain[0].flip(-1))
    assert abs(float((varied[1] - plain[1]).std()) - GRAIN) < 0.001


def test_one_batch_is_learnt_by_heart():
    torch.manual_seed(0)
    eyes = Eyes(replace(SMALL, dropout=0.0))
    windows, codes = torch.rand(8, 3, 5, 32, 32), torch.rand(8, 32, 20)
    optimizer = torch.optim.Adam(eyes.parameters(), 3e-3)
    for _ in range(50):
        optimizer.zero_grad()
        loss = corr2d_and_squares(codes, eyes(windows))
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < -0.95


def test_columns_come_back_as_loud_as_they_were():
    """The loss leaves the mean open; what is kept beside it does not."""
    torch.manual_seed(0)
    settings = replace(config(), loss=LossWeights(0, 0, 0))
    system = Lip2AudSpecSystem(settings, {})
    sound = torch.from_numpy(np.stack([auditory_spectrum(voice())[:48]] * 2))
    coder = system.network.coder
    optimizer = torch.optim.Adam(coder.parameters(), 3e-3)
    for _ in range(150):
        (turn,) = list(system.rounds({"sound": sound}))
        optimizer.zero_grad()
        turn.loss.backward()
        optimizer.step()
    coder.eval()
    columns = sound[0, 8:]
    with torch.no_grad():
        again = coder.columns(coder.code(columns))
    assert corr2d(columns, again) > 0.95
    assert abs(float(again.mean() - columns.mean())) < 0.1 * float(columns.mean())


def test_it_speaks_as_long_as_it_is_seen(monkeypatch):
    torch.manual_seed(0)
    made = Lip2AudSpecSpeaker(Lip2AudSpec(SMALL).state_dict(), config(), {})
    pictures = np.random.default_rng(0).integers(0, 255, (12, 32, 32), np.uint8)
    sound = made.speak(pictures)
    assert sound.shape == (640 * 12,) and sound.dtype == np.float32
    assert np.abs(sound).max() <= 1 and (made.speak(pictures) == sound).all()
    monkeypatch.setattr("training.models.lip2audspec.speak.PIECE_FRAMES", 5)
    np.testing.assert_allclose(made.speak(pictures), sound, atol=1e-3)
    with pytest.raises(ValueError, match="no speaker b"):
        made.speak(pictures, "b")
