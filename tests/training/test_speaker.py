"""What a model that speaks is asked with, and SLTS as one: windows, fades, seeds, voices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from manifests.crops import CROPS, resized
from manifests.media.encode import encode_video
from manifests.media.span import decode_grey, decode_rgb
from training.data.views import View
from training.harness.speaker import fades, windows_over
from training.models.slts import speak
from training.models.slts.config import small
from training.models.slts.network import Slts
from training.models.slts.speak import SltsSpeaker


@pytest.mark.parametrize("length", [1, 63, 64, 65, 100, 200])
def test_windows_cover_everything_and_fade_into_each_other(length):
    spans = list(windows_over(length, 64, 20))
    assert spans[0][0] == 0 and spans[-1][1] == length
    assert {b - a for a, b in spans} == {min(length, 64)}
    assert all(a[1] - b[0] >= 20 for a, b in zip(spans, spans[1:], strict=False))


def test_two_fades_add_up_to_one():
    first, second = fades(30, 0, 10), fades(30, 10, 0)
    np.testing.assert_allclose(first[20:] + second[:10], 1, atol=1e-6)
    assert (first[:20] == 1).all() and (second[10:] == 1).all()
    with pytest.raises(ValueError, match="cannot overlap"):
        list(windows_over(5, 3, 3))


@pytest.mark.parametrize("view", [View("lip", 32, True), View("face", 96), View("syncnet")])
def test_faces_are_seen_as_from_a_shard(view):
    random = np.random.default_rng(0)
    faces = resized(random.integers(40, 220, (6, 8, 8, 3), np.uint8), 256, 256)
    window = CROPS[view.crop]
    decode = decode_grey if view.is_grey else decode_rgb
    kept = decode(encode_video(list(faces))[0], 0, 6, window.rows_columns)
    expected = resized(kept, *window.size(view.height_px)).astype(int)
    seen = view.seen(faces)
    assert seen.shape == expected.shape and seen.dtype == np.uint8
    assert np.abs(seen - expected).mean() < 2.5


@pytest.fixture(scope="module")
def parts():
    config = small()
    facts = {"speakers": ["anna", "bert"]}
    torch.manual_seed(0)
    weights = Slts(config.shape, 2).state_dict()
    pictures = np.random.default_rng(2).integers(0, 255, (150, 32, 32), np.uint8)
    return config, facts, weights, pictures


def test_slts_speaks_the_same_again_and_otherwise_with_another_voice(parts):
    config, facts, weights, pictures = parts
    speaker = SltsSpeaker(weights, config, facts)
    made = speaker.speak(pictures)
    assert made.shape == (640 * 150,) and made.dtype == np.float32 and np.isfinite(made).all()
    assert 0 < np.abs(made).max() <= 1
    assert (made == SltsSpeaker(weights, config, facts).speak(pictures)).all()
    assert (made != speaker.speak(pictures, seed=1)).any()
    anna, bert = (speaker.speak(pictures, name) for name in speaker.voices)
    assert (anna != bert).any() and (anna != made).any()
    with pytest.raises(ValueError, match="no speaker carl"):
        speaker.speak(pictures, "carl")
    assert len(speaker.speak(pictures[:5])) == 640 * 5


def test_pieces_of_the_vocoder_are_one_pass_over_the_whole(parts, monkeypatch):
    config, facts, weights, pictures = parts
    speaker = SltsSpeaker(weights, config, facts)
    whole = speaker.speak(pictures)
    monkeypatch.setattr(speak, "PIECE_COLUMNS", 130)
    np.testing.assert_allclose(speaker.speak(pictures), whole, atol=1e-5)


def test_windows_change_little_where_only_they_end(parts):
    """Frames that one window sees are spoken as if there were no other window."""
    config, facts, weights, pictures = parts
    speaker = SltsSpeaker(weights, config, facts)
    alone = speaker._mel(pictures[: config.view.num_frames], None)
    joined = speaker._mel(pictures, None)
    lone = 4 * (config.view.num_frames - round(speak.OVERLAP * config.view.num_frames))
    torch.testing.assert_close(joined[..., :lone], alone[..., :lone])
    assert torch.isfinite(joined).all()


def test_weights_that_cannot_speak_are_refused(parts):
    config, facts, weights, _ = parts
    with pytest.raises(ValueError, match="its vocoder was not trained"):
        SltsSpeaker(weights, replace(config, vocoder_clips=0), facts)
    with pytest.raises(RuntimeError):
        SltsSpeaker(weights, config, {"speakers": ["anna", "bert", "carl"]})
