"""The synchrony models learn, their data keep their sign, and the trial tells right from wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from manifests.crops import template
from pipeline.cli import main
from stages.networks.lag_curves import confidence
from stages.networks.lipsync import lag_correlation
from stages.networks.lipsync_linear import LinearModel
from training.models.lipsync.all_pairs import all_pairs
from training.models.lipsync.examples import Example, alter, draw, prepare
from training.models.lipsync.held_out import Plan, folds_of, held_out
from training.models.lipsync.kin import kin_of, with_sentences
from training.models.lipsync.linear import LinearRecipe, LinearSystem
from training.models.lipsync.report import compact, read, summary, tables
from training.models.lipsync.system import fit, own_lags
from training.models.lipsync.towers import LipSyncRecipe, TowersSystem, contrastive_loss
from training.models.lipsync.trial import (
    Row,
    basis_of,
    calibrate,
    cross_confidence,
    music,
    peak_of,
    shifted,
)

SMALL = LipSyncRecipe(
    towers=1, steps=60, lag_steps=40, batch=8, frames=50, search_ms=300.0, max_plant_ms=200.0
)
TOWERS, LINEAR = TowersSystem(SMALL), LinearSystem(LinearRecipe())


def speaker(number: int, lag_ms: float = 0.0, frames: int = 200) -> Example:
    """A mouth that opens with the loudness of a buzz; the picture late by `lag_ms`."""
    random = np.random.default_rng(number)
    steps = np.repeat(random.random(frames // 4 + 20), 4 * 640)
    loud = np.convolve(steps, np.ones(800) / 800, "same")
    pcm = (6000 * loud * random.standard_normal(len(loud))).astype(np.int16)
    start = 16000
    at = start + 640 * np.arange(frames) - round(16 * lag_ms)
    opening = loud[at]
    points = np.zeros((frames, 68, 2), np.float32)
    points[:, 27:48] = template()
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([25 * np.cos(angle), np.sin(angle)], 1)
    points[:, 48:] = [128, 175]
    points[:, 48:, 0] += ring[:, 0]
    points[:, 48:, 1] += ring[:, 1] * (2 + 18 * opening[:, None])
    points[:, :27] = random.uniform(40, 220, (27, 2))
    points += random.normal(0, 0.2, points.shape).astype(np.float32)
    mouths = np.full((frames, 40, 48), 150, np.uint8)
    for frame, share in zip(mouths, opening, strict=True):
        half = int(2 + 10 * share)
        frame[20 - half : 20 + half, 14:34] = 40
    noise = random.integers(0, 8, mouths.shape, dtype=np.uint8)
    return Example(
        f"c{number}",
        f"p{number}",
        f"/data/p{number}.mp4",
        points,
        mouths + noise,
        pcm[start : start + 640 * frames],
    )


@pytest.fixture(scope="module")
def people() -> list[Example]:
    made = [speaker(i) for i in range(5)] + [speaker(9, 120.0)]
    prepare(made, np.random.default_rng(0))
    return made


@pytest.fixture(scope="module")
def trained(people):
    return fit(TOWERS, people, ["*p[0-4].mp4"])


def test_it_learns_the_lag_and_a_speakers_own(trained, people):
    model, lags = trained
    assert abs(lags.believed["c9"] - 120) <= 40 and lags.believed["c0"] == 0
    stranger = [speaker(20), speaker(21, -80.0)]
    prepare(stranger, np.random.default_rng(1))
    TOWERS.featurize(model, stranger)
    for example, lag in zip(stranger, (0.0, -80.0), strict=True):
        curve = TOWERS.curve(model, example, 300.0).mean(0)
        assert abs((int(np.nanargmax(curve)) - 30) * 10 - lag) <= 40


def test_the_linear_model_learns_the_same_from_points_alone():
    made = [speaker(i) for i in range(5)] + [speaker(9, 120.0)]
    blind = [replace(e, mouths=np.zeros((0, 40, 48), np.uint8)) for e in made]
    model, lags = fit(LINEAR, blind, ["*p[0-4].mp4"])
    assert abs(lags.believed["c9"] - 120) <= 20 and lags.believed["c0"] == 0
    assert abs(model.bias_ms) <= 10
    for lag in (0.0, -80.0):
        one = speaker(20, lag)
        assert abs(model.clip_peak(one.landmarks, one.mouths, one.pcm).lag_ms - lag) <= 20
    with pytest.raises(ValueError, match="no examples"):
        fit(LINEAR, [], [])


def test_one_command_trains_either_model(tmp_path, monkeypatch):
    """Here the one that is quick: weights that load, a trial that is JSON and has its tables."""
    monkeypatch.setattr(
        "training.models.lipsync.run.load",
        lambda corpora, indices: [speaker(i, frames=100) for i in range(4)],
    )
    out = tmp_path / "w.safetensors"
    done = CliRunner().invoke(
        main,
        [
            "train",
            "lipsync_linear",
            str(tmp_path),
            "--out",
            str(out),
            "--fold-size",
            "2",
            "--synchronous",
            "*p[0-2].mp4",
            "--keep-folds",
            str(tmp_path / "folds"),
        ],
    )
    assert done.exit_code == 0, done.output
    model = LinearModel.load(out)
    assert model.calibration.shape == (4,) and model.facts["num_speakers"] == 4
    assert model.facts["recipe"]["components"] == 4
    folds = tmp_path / "folds"
    left_out = [LinearModel.load(f).facts["left_out"] for f in folds.glob("*.safetensors")]
    assert sorted(s for fold in left_out for s in fold) == [f"p{i}" for i in range(4)]

    rows = read(out.with_suffix(".trial.json").read_text())
    assert {r["seconds"] for r in rows} == {1.0, 2.0, 3.0}
    made = summary(rows, 0.5)
    three = made["talking"]["3 s"]["all"]
    assert three["within_40_ms"] > 0.8 * three["windows"] and set(made["talking"]["3 s"]) > {"p0"}
    rows = [r for r in rows if r["seconds"] == 3.0]
    sure, foreign = (
        [r["confidence"] for r in rows if (r["kind"] == "talk") == is_talk]
        for is_talk in (True, False)
    )
    assert np.mean(sure) > np.mean(foreign) + 0.3 and "| **all** | 3 s |" in tables(made)
    with pytest.raises(ValueError, match="no trial"):
        read("[]")
    again = CliRunner().invoke(main, ["train", "lipsync_linear", str(tmp_path), "--out", str(out)])
    assert again.exit_code == 2 and "is there already" in again.output


def test_two_sentences_of_a_speaker_compete_and_one_clip_with_itself_does_not():
    clips = [replace(speaker(i, frames=60), speaker=who) for i, who in enumerate("aabcd")]
    groups = {who: [e for e in clips if e.speaker == who] for who in "abcd"}
    chosen = with_sentences(groups, 12, 0.5, 3000, np.random.default_rng(0))
    assert [e.speaker for e in chosen[:6]] == ["a"] * 6
    assert all(len({e.name for e in chosen[i : i + 2]}) == 2 for i in (0, 2, 4))
    single = {who: groups[who] for who in "bcd"}
    assert len(with_sentences(single, 12, 0.5, 3000, np.random.default_rng(0))) == 12

    kin = kin_of([clips[0], clips[1], clips[0], clips[2]])
    assert kin.same_clip.nonzero().tolist() == [[0, 2], [2, 0]]
    assert kin.other_sentence.nonzero().tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    planted = torch.zeros(4)

    def loss_with(row: int, column: int) -> float:
        score = torch.zeros(4, 4, 21)
        score[range(4), range(4), 10] = 5.0
        score[row, column, 4] = 5.0
        return contrastive_loss(score, planted, 10, 1.5, kin).item()

    twin, sentence, stranger = loss_with(0, 2), loss_with(0, 1), loss_with(0, 3)
    assert twin < stranger - 0.02 < sentence - 0.04


def test_all_pairs_are_the_correlation_that_stages_read():
    torch.manual_seed(0)
    seen, heard = torch.randn(3, 16, 50), torch.randn(4, 16, 260)
    exists = (torch.rand(4, 260) > 0.2).float()
    plain = lag_correlation(seen, heard, exists, 30)
    assert torch.allclose(all_pairs(seen, heard, exists, 30), plain, atol=3e-3)
    # The way back: against the library's own gradients.
    both = []
    for kind in (lag_correlation, all_pairs):
        signal = heard.clone().requires_grad_()
        kind(seen, signal, exists, 30).square().sum().backward()
        both.append(signal.grad.flatten())
    assert torch.corrcoef(torch.stack(both))[0, 1] > 0.999


def test_the_same_seed_gives_the_same_lags(people, trained):
    model, _ = trained
    small = TowersSystem(LipSyncRecipe(**vars(SMALL) | {"lag_steps": 5}))
    assert own_lags(small, model, people, []) == own_lags(small, model, people, [])


def test_a_drawn_window_has_its_planted_lag(people, trained):
    """Loudness in the window's sound, moved by the planted lag, follows the mouth."""
    random = np.random.default_rng(4)
    agreements = []
    for _ in range(20):
        seen, heard, exists, planted = draw(people[0], 50, 30, 20.0, 0.0, random)
        opening = seen[:, 7] - seen[:, 27]  # two opposite points of the mouth
        rows = np.round(30 + 4 * np.arange(50) - planted).astype(int)
        there = exists[rows] > 0
        loud = heard[rows].mean(1)
        agreements.append(abs(np.corrcoef(opening[there], loud[there])[0, 1]))
    assert np.median(agreements) > 0.5


def test_altered_sound_is_not_later(people):
    random = np.random.default_rng(0)
    click = np.zeros(16000, np.float32)
    click[8000:8100] = 0.5
    for _ in range(20):
        made = alter(click, [click], random)
        loud = np.abs(made) > 0.3 * np.abs(made).max()  # an echo may be louder than its cause
        assert abs(int(loud.argmax()) - 8000) < 60


def test_a_planted_shift_is_a_late_picture():
    pcm = np.arange(1, 3201, dtype=np.int16)
    assert shifted(pcm, 0, 4, 40.0)[0] == 641 and shifted(pcm, 1, 4, -40.0)[0] == 1
    assert (shifted(pcm, 0, 4, -40.0)[:640] == 0).all()
    assert np.abs(music(16000, np.random.default_rng(0))).max() > 5000


def test_folds_leave_each_speaker_out_once(people):
    folds = folds_of(people, 2)
    assert sorted(s for f in folds for s in f) == sorted({e.speaker for e in people})


def test_a_trial_goes_on_where_it_was_stopped_and_takes_no_other_for_its_own(tmp_path, monkeypatch):
    made = [replace(speaker(i, frames=100), speaker=f"p{i % 3}") for i in range(4)]
    plan = Plan(LINEAR, made, ("*p[0-2].mp4",), folds_of(made, 1), tmp_path)
    first, lags = held_out(plan, say=lambda _: None)
    kept = tmp_path / "fold0.npz"
    written = kept.stat().st_mtime_ns
    (tmp_path / "fold1.npz").unlink()
    said = []
    again, same = held_out(plan, say=said.append)
    assert kept.stat().st_mtime_ns == written and len(said) == 1 and same == lags
    assert [(r.source, r.kind, r.lag_ms) for r in again] == [
        (r.source, r.kind, r.lag_ms) for r in first
    ]
    assert all(r.curve.shape == (1, 141) for r in first)
    assert {r.kind for r in first} >= {"talk", "other speaker", "other clip"}
    with pytest.raises(ValueError, match="another trial"):
        held_out(replace(plan, synchronous=()))
    # Windows that are gone are tried by the weights that lie there.
    monkeypatch.setattr("training.models.lipsync.held_out.fit", None)
    kept.unlink()
    third, _ = held_out(plan, say=lambda _: None)
    assert [r.lag_ms for r in third] == [r.lag_ms for r in first]


def test_calibration_tells_right_from_wrong_on_unseen_clips():
    random = np.random.default_rng(0)
    rows = []
    for i in range(400):
        good = bool(random.random() < 0.6)
        rows.append(
            Row(
                f"p{i % 8}",
                f"/data/p{i % 8}.mp4",
                "talk" if good or i % 2 else "noise",
                3.0,
                0.0,
                0.0,
                0.4 * good + 0.2 * random.random(),
                0.1 * random.random() + 0.1 * good,
                0.9 if good else 0.2,
                5.0 if good else 120.0,
                False,
                *((5.0, 5.0) if good else (200.0, 200.0) if i % 2 else (None, None)),
            )
        )
    weights = calibrate(rows)
    sure = np.array([confidence(peak_of(r), basis_of(r), weights) for r in rows])
    good = np.array([r.mass > 0.5 for r in rows])
    assert sure[good].mean() > 0.9 and sure[~good].mean() < 0.1
    crossed = cross_confidence(rows)
    assert crossed[good].mean() > 0.9
    made = summary(read(compact(rows, crossed, {"/data/p0.mp4": ["web"]}, ["/data/p0.mp4"])))
    assert set(made["talking"]["3 s"]) == {"all", "web"}
    text = tables(made)
    assert "| **all** | 3 s |" in text and "| noise |" in text
