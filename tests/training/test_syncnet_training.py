"""SyncNet learns which sound belongs to which picture; chance, signs and what is kept."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from manifests.media.encode import encode_flac, encode_video
from manifests.shards import ShardSample, write_samples
from pipeline.config.settings import to_mapping
from stages.networks.syncnet import SyncNet
from tests.stages.test_syncnet import released_names
from tests.training.ranks import on_ranks, together
from training.data.mixture import Row
from training.data.samples import Samples
from training.harness.checkpoints import last_checkpoint, load_weights
from training.harness.cluster import train_together
from training.harness.ranks import join_gradients, rank
from training.harness.recipe import Recipe, rate_at
from training.harness.run import Request, train
from training.models.catalogue import KINDS
from training.models.syncnet.config import (
    SyncNetConfig,
    SyncNetData,
    SyncNetJudging,
    SyncNetLoss,
    SyncNetShape,
    SyncNetView,
    paper,
    small,
)
from training.models.syncnet.examples import SyncNetDecode
from training.models.syncnet.objective import (
    contrastive,
    contrastive_chance,
    cosines,
    lag_frames,
    multiway,
    multiway_chance,
    top1,
)
from training.models.syncnet.system import SyncNetSystem

FRAMES = 40
KIND = KINDS["syncnet"]
KINDS_OF_LOSS = ("multiway", "contrastive")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def drawn(number: int, lag_ms: float | None, **more) -> ShardSample:
    """A mouth as open as a noise is loud, both new each 80 ms; the picture late by `lag_ms`."""
    random = np.random.default_rng(number)
    levels = np.repeat(random.random(FRAMES), 2 * 640)
    start = 5 * 640
    sound = 6000 * levels[start : start + 640 * FRAMES] * random.standard_normal(640 * FRAMES)
    at = start + 640 * np.arange(FRAMES) + 320 - round(16 * (lag_ms or 0))
    frames = []
    for opening in levels[at]:
        frame = np.full((256, 256, 3), 150, np.uint8)
        cv2.ellipse(frame, (128, 176), (26, 3 + int(25 * opening)), 0, 0, 360, (40, 10, 10), -1)
        frames.append(frame)
    facts = {
        "num_frames": FRAMES,
        "applied_lag_ms": 0.0,
        "video_lag_ms": "" if lag_ms is None else str(lag_ms),
        "offset_status": "undecided" if lag_ms is None else "measured",
        **more,
    }
    members = {
        "face.mp4": encode_video(frames)[0],
        "audio.flac": encode_flac(sound.astype(np.int16)),
        "json": json.dumps(facts).encode(),
    }
    return ShardSample(f"clip-{number:02d}", members, "000000.tar")


def corpus_of(root: Path, samples: list[ShardSample]) -> Path:
    (root / "train").mkdir(parents=True)
    with open(root / "train" / "000000.tar", "wb") as file:
        write_samples(file, samples)
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """In sync, by half a frame early, or by half a frame late; nothing tells but the picture."""
    samples = [drawn(n, (0.0, -20.0, 20.0)[n % 3]) for n in range(20)]
    return corpus_of(tmp_path_factory.mktemp("drawn"), samples)


def config(kind="multiway", **recipe) -> SyncNetConfig:
    settings = {"steps": 80, "batch": 4, "learning_rate": 2e-3, "schedule": "cosine", **recipe}
    return SyncNetConfig(
        SyncNetShape(width=1 / 8, picture_px=52),
        SyncNetView(crop="lip", num_frames=20, mirror=True, brightness=0.1),
        SyncNetLoss(kind=kind),
        SyncNetData(held_out=0.2),
        SyncNetJudging(num_frames=FRAMES, num_steps=16, planted_frames=5, searched_frames=8),
        Recipe(**{"clip_norm": 5.0, "warmup_steps": 5, **settings}),
    )


def run(corpus: Path, out: Path, settings: SyncNetConfig, say=lambda _: None):
    told = to_mapping(settings)
    return train(Request(KIND, "tiny", settings, told, [str(corpus)], out), say)


def log(out: Path, kind: str) -> list[dict[str, float]]:
    lines = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


# -- the network -------------------------------------------------------------------------------


def test_the_paper_preset_is_the_released_network_and_tiny_has_its_names():
    names = released_names()
    for settings, count in ((paper(), 13_631_616), (small(), 581_408)):
        network = SyncNetSystem(settings, {}).network
        assert sum(p.numel() for p in network.parameters()) == count
        state = {n: t for n, t in network.state_dict().items() if "num_batches" not in n}
        assert state.keys() == names.keys()
        if settings == paper():
            assert {name: tuple(t.shape) for name, t in state.items()} == names


def test_a_picture_too_small_for_the_tower_and_a_crop_that_is_no_square_are_told():
    with pytest.raises(ValueError, match="51 px or more"):
        SyncNet(1 / 16, 50)
    with pytest.raises(ValueError, match="no square"):
        SyncNetSystem(replace(config(), view=SyncNetView(crop="mouth")), {})


def test_batches_are_embedded_as_single_clips_are():
    network = SyncNet(1 / 16, 52).eval()
    random = np.random.default_rng(3)
    pictures = random.integers(0, 256, (2, 9, 52, 52, 3), dtype=np.uint8)
    sound = random.integers(-9000, 9000, 9 * 640, dtype=np.int16)
    bgr = torch.from_numpy(pictures[..., ::-1].copy()).permute(0, 4, 1, 2, 3).float()
    seen = network.embed_pictures(bgr)
    assert seen.shape == (2, 5, 64)
    for clip, found in zip(pictures, seen, strict=True):
        np.testing.assert_allclose(network.see(clip), found.detach(), atol=1e-5)
    assert network.hear(sound).shape == (4, 64)
    with pytest.raises(ValueError, match=r"\[52, 52, 3\]"):
        network.see(np.zeros((5, 224, 224, 3), np.uint8))


# -- losses ------------------------------------------------------------------------------------


def test_chance_is_the_loss_of_a_network_that_knows_nothing():
    assert multiway(torch.full((2, 26, 26), 5.0)).mean() == pytest.approx(math.log(26))
    assert multiway_chance(26) == pytest.approx(math.log(26))
    draws = torch.rand(2, 26, 26)
    at = [
        float(contrastive(torch.full((2, 26, 26), d), draws, 20.0, 1).mean())
        for d in (2.0, 8.0, 10.0, 12.0, 30.0)
    ]
    assert at[2] == min(at) == contrastive_chance(20.0) == 50.0


def test_false_pairs_are_of_the_same_clip_and_none_is_near():
    num_steps, near = 12, 2
    steps = torch.arange(num_steps)
    gap = (steps[:, None] - steps).abs()
    # Near pairs would cost 100, others nothing.
    distance = torch.where(gap <= near, 0.0, 10.0)[None]
    for _ in range(5):
        draws = torch.rand(1, num_steps, num_steps)
        assert contrastive(distance, draws, 10.0, near).abs().max() == 0
    assert contrastive(10 - distance, draws, 10.0, near).mean() == pytest.approx(50.0)
    with pytest.raises(ValueError, match="leave no sound"):
        contrastive(distance[:, :3, :3], draws[:, :3, :3], 10.0, near)


def test_a_lag_is_positive_where_the_picture_is_late():
    sounds = torch.randn(1, 30, 16)
    for lag in (-4, 0, 3):
        pictures = sounds.roll(lag, 1)  # picture t shows what sounded at t - lag
        similarity = cosines(pictures, sounds)
        assert lag_frames(similarity[0], 8) == lag
        assert top1(similarity) == (1.0 if lag == 0 else 0.0)


# -- data --------------------------------------------------------------------------------------


def test_judged_sound_holds_every_planted_lag_as_the_view_would_plant_it():
    sample, row = drawn(1, 40.0), Row(0, seed=1, corpus=0, epoch=0, index=0, number=0)
    settings = config()
    view = settings.view.view(settings.shape)
    decoded = SyncNetDecode(view, settings, frozenset({sample.key}))(sample, row)
    assert decoded["sound"].shape == (4 * (FRAMES + 10), 13)
    assert decoded["video"].shape == (FRAMES, 52, 52, 3)
    whole = replace(view, num_frames=FRAMES)
    for late in (-5, 0, 3):
        wanted = whole.decode(sample, row, late * 640)["sound"]
        found = decoded["sound"][4 * (5 + late) :][: 4 * FRAMES]
        # At the ends the view's own clip ends.
        np.testing.assert_allclose(found[24:-24], wanted[24:-24], atol=1e-3)


def test_clips_beyond_a_frame_and_undecided_ones_are_left_out_unless_asked_for(tmp_path):
    taken_out = drawn(4, 120.0, applied_lag_ms=120.0)
    samples = [drawn(0, 0.0), drawn(1, 39.0), drawn(2, -80.0), drawn(3, None), taken_out]
    root = corpus_of(tmp_path / "c", samples)

    def kept(view=None, **data) -> list[str]:
        settings = replace(config(), view=view or config().view, data=SyncNetData(**data))
        found = Samples.of(root, "train", KIND.wanted(settings))
        return [found.key(n)[-1] for n in range(len(found))]

    raw = replace(config().view, pairing="raw")
    assert kept() == ["0", "1", "4"]
    assert kept(max_lag_ms=None) == ["0", "1", "2", "4"]
    assert kept(unmeasured=True) == ["0", "1", "3", "4"]
    assert kept(view=raw) == ["0", "1", "3", "4"]
    settings = replace(config(), data=SyncNetData(unmeasured=True))
    decode = SyncNetDecode(settings.view.view(settings.shape), settings, frozenset())
    row = Row(0, seed=1, corpus=0, epoch=0, index=0, number=0)
    assert decode(samples[3], row)["lag_samples"] == 0
    assert decode(samples[1], row)["lag_samples"] == 39 * 16


# -- trainings ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "multiway"
    run(corpus, out, config())
    return out


def test_drawn_mouths_are_learnt_and_planted_lags_found(trained):
    first, last = log(trained, "train")[0], log(trained, "train")[-1]
    judged = log(trained, "judge")[-1]
    assert first["chance"] == pytest.approx(math.log(16))
    assert last["multiway"] < 0.7 * first["chance"]
    assert judged["chance"] == pytest.approx(math.log(16))
    assert judged["times_chance"] > 3
    assert judged["median_error_frames"] <= 1


def test_kept_weights_have_the_released_names_and_the_scale_stays_with_the_training(trained):
    tensors, about = load_weights(trained)
    SyncNet(1 / 8, 52).load_state_dict(tensors)
    assert about.model == "syncnet"
    found = last_checkpoint(trained / "checkpoints")
    assert found is not None
    state = load_file(found / "state.safetensors")
    assert float(state["system.scale.scale"]) != 10.0
    beside = {name for name in state if name.startswith("system.")}
    assert beside == {"system.scale.scale", "system.scale.bias"}


def noise(rows: int) -> dict[str, torch.Tensor]:
    """Pictures and cepstra of 14 frames, as the loader gives them."""
    return {
        "video": torch.randint(0, 256, (rows, 14, 52, 52, 3), dtype=torch.uint8),
        "sound": 10 * torch.randn(rows, 56, 13),
        "position": torch.arange(rows),
        "mirror": torch.arange(rows) % 2 == 0,
        "light": torch.linspace(0.9, 1.1, rows),
    }


@pytest.mark.parametrize("kind", KINDS_OF_LOSS)
def test_one_batch_is_learnt_by_heart(kind):
    settings = replace(config(kind), loss=SyncNetLoss(kind, margin=4.0))
    system = SyncNetSystem(settings, {})
    batch = noise(2)
    parameters = system.players()["network"].parameters()
    optimizer = torch.optim.Adam(parameters, 2e-3)
    for _ in range(40):
        (turn,) = system.rounds(batch)
        optimizer.zero_grad()
        turn.loss.backward()
        optimizer.step()
    assert turn.loss < 0.3 * turn.told["chance"]
    assert turn.told["top1"] > 0.9


def gradient(kind: str, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Loss and joined gradient, statistics of the batch norms held."""
    torch.manual_seed(1)
    system = SyncNetSystem(config(kind), {})
    for module in system.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    (turn,) = system.rounds(batch)
    turn.loss.backward()
    parameters = list(system.players()["network"].parameters())
    join_gradients(parameters)
    told = [p.grad for p in parameters if p.grad is not None]
    return torch.cat([turn.loss.detach()[None], *(g.flatten() for g in told)])


def half(batch: dict[str, torch.Tensor], out: Path) -> None:
    """One of two ranks: every other row."""
    number = rank()
    mine = {name: value[number::2] for name, value in batch.items()}
    torch.save([gradient(kind, mine) for kind in KINDS_OF_LOSS], out / f"{number}.pt")


def test_two_ranks_have_the_loss_and_gradient_of_their_joint_batch(tmp_path):
    batch = noise(3)
    alone = [gradient(kind, batch) for kind in KINDS_OF_LOSS]
    on_ranks(2, half, batch, tmp_path)
    for number in range(2):
        found = torch.load(tmp_path / f"{number}.pt")
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_ranks_of_ray_tell_how_they_ended(corpus, tmp_path):
    settings = config(steps=2)
    out = tmp_path / "run"
    request = Request(KIND, "tiny", settings, to_mapping(settings), [str(corpus)], out)
    outcome = train_together(request, 2)
    assert (outcome.step, outcome.why, outcome.best_step) == (2, "done", 2)
    assert outcome.best is not None
    assert outcome.best["top1"] == log(out, "judge")[-1]["top1"]
    assert [line["step"] for line in log(out, "train")] == [1, 2]


@pytest.mark.slow
def test_a_rank_that_is_killed_is_started_again_from_the_last_checkpoint(corpus, tmp_path):
    settings = config(steps=40, save_every_steps=5)
    told = to_mapping(settings)
    request = Request(KIND, "tiny", settings, told, [str(corpus)], tmp_path / "run")
    killed: list[int] = []

    def kill_one() -> None:
        while not killed:
            time.sleep(0.02)
            last = last_checkpoint(tmp_path / "run" / "checkpoints")
            ranks = [
                process
                for process in psutil.Process().children(recursive=True)
                if "RayTrainWorker" in " ".join(process.cmdline())
            ]
            if last is not None and ranks:
                ranks[-1].kill()
                killed.append(int(last.name.rpartition("-")[2]))

    killer = threading.Thread(target=kill_one)
    killer.start()
    outcome = train_together(request, 2)
    killer.join()
    assert killed and killed[0] < 40
    assert (outcome.step, outcome.why) == (40, "done")
    together(replace(request, out=tmp_path / "whole"), 2)
    one, other = (log(tmp_path / name, "train") for name in ("run", "whole"))
    assert [line["step"] for line in one] == list(range(1, 41))
    name = next(name for name in one[0] if name not in ("kind", "step"))
    np.testing.assert_allclose([x[name] for x in one], [x[name] for x in other], rtol=1e-4)


def test_a_loss_at_chance_is_told_in_words(corpus, tmp_path):
    said: list[str] = []
    run(corpus, tmp_path / "run", config(steps=1), said.append)
    assert any("that of guessing (2.77)" in line for line in said)
    system = SyncNetSystem(config(), {})
    assert not system.remarks({"loss": 1.0, "chance": 2.77, "median_error_frames": 8.0})
    assert not system.remarks({"loss": 3.0, "chance": 2.77, "median_error_frames": 0.0})
    assert system.remarks({"loss": 3.0, "chance": 2.77, "median_error_frames": 8.0})


def test_the_papers_rate_falls_by_a_twentieth_each_100_000_clips():
    recipe = paper().recipe
    assert (recipe.optimizer, recipe.beta1, recipe.weight_decay) == ("sgd", 0.9, 1e-5)
    assert rate_at(recipe, 3332) == 1e-3
    assert rate_at(recipe, 3333) == pytest.approx(0.95e-3)
    assert recipe.batch * recipe.decay_steps == pytest.approx(100_000, rel=1e-3)
