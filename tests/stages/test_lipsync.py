"""The synchrony network's arithmetic against plain loops, its crops, and its file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from manifests.crops import CROPS, template
from stages.faces.mouths import MouthCropper
from stages.faces.registration import transforms, warp
from stages.networks import lipsync_features as feat
from stages.networks.lag_curves import rhythm
from stages.networks.lipsync import DIM, LipSync, Towers, lag_correlation


def test_lag_correlation_is_the_plain_correlation_over_what_exists():
    random = np.random.default_rng(0)
    frames, steps = 12, 9
    seen = random.standard_normal((2, 3, frames)).astype(np.float32)
    heard = random.standard_normal((2, 3, 4 * frames + 2 * steps)).astype(np.float32)
    exists = (random.random((2, heard.shape[2])) < 0.8).astype(np.float32)
    found = lag_correlation(*(torch.from_numpy(x) for x in (seen, heard, exists)), steps).numpy()
    for b in range(2):
        for c in range(2):
            for lag in range(-steps, steps + 1):
                rows = steps + 4 * np.arange(frames) - lag
                used = exists[c, rows] > 0
                x, y = seen[b][:, used], heard[c][:, rows[used]]
                x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
                plain = (x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum())
                assert abs(found[b, c, lag + steps] - plain) < 1e-4


def test_a_late_picture_has_a_positive_lag():
    """The same signal on both sides; the picture shows it 120 ms after it sounded."""
    random = np.random.default_rng(1)
    sound = np.cumsum(random.standard_normal((1, 400, DIM)), 1).astype(np.float32)
    model = LipSync([], np.ones(62, np.float32), np.zeros((1920, 24), np.float32), 10.0)
    start, lag = 100, 12
    seen = sound[:, start - lag + 4 * np.arange(50)]
    curve = model.curves(seen, sound, np.ones(400, bool), start, 300.0)[0]
    assert (int(np.nanargmax(curve)) - 30) * 10 == 120


def test_missing_sound_is_not_scored():
    random = np.random.default_rng(2)
    sound = random.standard_normal((1, 200, DIM)).astype(np.float32)
    model = LipSync([], np.ones(62, np.float32), np.zeros((1920, 24), np.float32), 10.0)
    curve = model.curves(sound[:, ::4], sound, np.ones(200, bool), 0, 800.0)[0]
    lags = (np.arange(161) - 80) * 10
    assert np.isnan(curve[np.abs(lags) > 650]).all() and not np.isnan(curve[lags == 0]).any()


def test_a_lag_with_less_sound_counts_by_the_root_of_its_share():
    """A signal that repeats: its lags of 0 and of a period agree alike, over fewer rows."""
    random = np.random.default_rng(2)
    period = random.standard_normal((1, 80, DIM)).astype(np.float32)
    sound = np.tile(period, (1, 5, 1))
    model = LipSync([], np.ones(62, np.float32), np.zeros((1920, 24), np.float32), 10.0)
    curve = model.curves(sound[:, ::4], sound, np.ones(400, bool), 0, 900.0)[0]
    assert curve[90] == pytest.approx(1.0, abs=1e-4)
    assert curve[[10, 170]] == pytest.approx([np.sqrt(0.8)] * 2, abs=1e-3)


@pytest.mark.parametrize("memory", [0.0, 0.6, 0.9])
def test_rhythm_is_how_far_chance_alone_correlates_two_series(memory):
    random = np.random.default_rng(5)

    def series() -> np.ndarray:
        noise = random.standard_normal((115, 4))
        for t in range(1, len(noise)):
            noise[t] += memory * noise[t - 1]
        return noise[40:] - noise[40:].mean(0)

    told, found = [], []
    for _ in range(300):
        seen, heard = series(), series()
        told.append(rhythm(seen[None], heard[None]))
        found.append((seen * heard).sum() / np.sqrt((seen**2).sum() * (heard**2).sum()))
    assert np.exp(np.mean(told)) == pytest.approx(np.std(found) * np.sqrt(75), rel=0.25)


def test_mouth_crops_of_the_pass_equal_those_of_the_registered_face():
    """A moving, turning, growing face: both ways cut the same mouth."""
    random = np.random.default_rng(3)
    texture = random.integers(0, 255, (64, 64), dtype=np.uint8)
    import cv2

    canvas = cv2.resize(texture, (256, 256), interpolation=cv2.INTER_CUBIC)
    anchors = np.zeros((68, 2), np.float32)
    anchors[27:48] = template()
    cropper, crops, points, pictures = MouthCropper(), [], [], []
    for i in range(30):
        angle, scale = 0.004 * i, 1.0 + 0.01 * i
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.c_[turn, [20 + i, 30 - 0.5 * i]]
        picture = cv2.warpAffine(canvas, matrix, (420, 420))
        pictures.append(picture)
        points.append((anchors @ turn.T + matrix[:, 2]).astype(np.float32))
        crops += cropper.push(picture, points[-1])
    crops += cropper.finish()
    assert len(crops) == 30
    matrices = transforms(np.stack(points))
    window = CROPS["mouth"]
    for crop, picture, matrix in zip(crops, pictures, matrices, strict=True):
        face = warp(picture, matrix)[window.y0 : window.y1, window.x0 : window.x1]
        small = cv2.resize(face, (window.width, window.height), interpolation=cv2.INTER_AREA)
        difference = np.abs(crop.astype(int) - small)[2:-2, 2:-2]
        assert difference.mean() < 6


def test_features_do_not_see_where_or_how_large_the_face_is():
    random = np.random.default_rng(4)
    points = np.zeros((40, 68, 2), np.float32)
    points[:, 27:48] = template()
    points[:, :27] = random.uniform(40, 220, (27, 2))
    points[:, 48:] = [128, 175] + random.standard_normal((40, 20, 2)) * 4
    moved = points * 1.7 + [300, -40]
    assert np.allclose(feat.lip_features(points), feat.lip_features(moved), atol=1e-4)


def test_loudness_does_not_matter():
    pcm = (np.random.default_rng(5).standard_normal(16000) * 2000).astype(np.int16)
    assert np.abs(feat.log_mel(pcm) - feat.log_mel((pcm * 4).astype(np.int16))).mean() < 0.05


def test_weights_survive_saving_and_foreign_ones_are_refused(tmp_path):
    torch.manual_seed(0)
    model = LipSync(
        [Towers().eval(), Towers().eval()],
        np.ones(62, np.float32),
        np.asfortranarray(np.random.default_rng(0).random((1920, 24), np.float32)),
        12.0,
        3.5,
    )
    with pytest.raises(ValueError, match="calibrate"):
        model.save(tmp_path / "w.safetensors")
    model.calibration = np.arange(8, dtype=np.float32)
    model.facts = {"recipe": "small"}
    model.save(tmp_path / "w.safetensors")
    again = LipSync.load(tmp_path / "w.safetensors")
    x = np.random.default_rng(1).standard_normal((30, 86)).astype(np.float32)
    assert np.array_equal(again.see(x), model.see(x)) and again.facts == model.facts
    assert np.array_equal(again.pixels, model.pixels) and again.bias_ms == 3.5
    from stages.networks import lipsync_linear

    with pytest.raises(KeyError):
        LipSync.load(lipsync_linear.WEIGHTS)
