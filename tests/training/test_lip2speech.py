"""Lip2Speech's networks: counts and shapes, attention and stop, what a clip's neighbours change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from manifests.spectra import mel_htk
from training.data.sound_features import lip2speech_columns, lip2speech_mel, lip2speech_sound
from training.layers.shuffle_net import shuffled
from training.models.catalogue import KINDS
from training.models.lip2speech import shape as shapes
from training.models.lip2speech.attention import positions
from training.models.lip2speech.decoder import Decoded, MelDecoder
from training.models.lip2speech.network import Lip2Speech
from training.models.lip2speech.objective import (
    LossWeights,
    losses_of,
    taught_columns,
    taught_share,
    total,
)
from training.models.lip2speech.speak import chunks
from training.models.lip2speech.video import VideoExtractor
from training.models.speaker_identity.shape import IdentityShape

pytestmark = pytest.mark.usefixtures("one_thread")


def small(variant="paper", **change):
    """As `tiny`, narrower; nothing is dropped."""
    return replace(
        shapes.tiny(),
        variant=variant,
        width=0.0625,
        lip_px=32,
        identity=IdentityShape(0.0625, 75),
        max_columns=60,
        prenet_dropout=0.0,
        dropout=0.0,
        post_dropout=0.0,
        **change,
    )


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def decoder(variant="paper") -> tuple[MelDecoder, torch.Tensor, torch.Tensor]:
    """A decoder, features of two clips of 12 frames, and their voices."""
    torch.manual_seed(3)
    made = MelDecoder(small(variant)).eval()
    features = torch.randn(2, 12, made.shape.visual_features)
    return made, features, torch.rand(2, 256)


def free(made, features, voices, lengths) -> Decoded:
    return made.free(made.remember(features, voices, torch.tensor(lengths)))


# -- counts and shapes -------------------------------------------------------------------------


def test_parameters_of_the_authors_code():
    with torch.device("meta"):
        assert count(VideoExtractor(shapes.paper())) == 1_151_324
        code = MelDecoder(shapes.code())
        assert count(code) == 37_285_512 and count(code.content) == 5_638_646
        # What the paper says instead: two more layers of each, no codebook.
        assert count(MelDecoder(shapes.paper())) == 40_181_394


@pytest.mark.parametrize("frames", [25, 29])
def test_features_keep_the_frames_and_have_length_one(frames):
    extractor = VideoExtractor(small()).eval()
    sizes = []
    extractor.front.register_forward_hook(lambda *x: sizes.append(tuple(x[2].shape[2:])))
    with torch.no_grad():
        made = extractor(torch.randint(0, 255, (1, frames, 96, 96, 3), dtype=torch.uint8))
    assert sizes == [(frames, 24, 24)] and made.shape == (1, frames, 48)
    np.testing.assert_allclose(made.square().sum(2), 1, rtol=1e-4)


def test_halves_are_shuffled_in_turn():
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert shuffled(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_a_decoder_begins_with_what_its_encoder_ends_with(variant):
    made, features, voices = decoder(variant)
    memory = made.remember(features, voices, torch.tensor([12, 12]))
    hidden, cell = memory.state
    layers = {"paper": 4, "code": 2}[variant]
    assert hidden.shape == cell.shape == (layers, 2, 32)
    assert (cell == 0).all() == (variant == "code")
    assert memory.keys.shape == (2, 32, 12) and memory.values.shape == (2, 12, 32)
    for frames in (3, 12):  # short clips, too, though the codebook's longest stretch is 7 frames
        assert free(made, features[:, :frames], voices, [frames] * 2).mel.shape[2] == 80


# -- stop --------------------------------------------------------------------------------------


class Stops(torch.nn.Module):
    """Logits of -10, and +10 from column `at` on."""

    def __init__(self, at: int | None) -> None:
        super().__init__()
        self.at, self.asked = at, -1

    def forward(self, x):
        self.asked += 1
        over = self.at is not None and self.asked >= self.at
        return torch.full((len(x), 1), 10.0 if over else -10.0)


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize(("at", "length"), [(0, 1), (6, 7), (None, 60)])
def test_the_first_crossing_of_the_stop_token_is_the_length(variant, at, length):
    made, features, voices = decoder(variant)
    made.stop = Stops(at)
    decoded = free(made, features, voices, [12, 12])
    assert decoded.lengths.tolist() == [length, length]
    assert decoded.mel.shape[1] >= length and decoded.attention.shape[2] == 12
    np.testing.assert_allclose(decoded.attention.sum(2), 1, rtol=1e-5)


# -- teacher -----------------------------------------------------------------------------------


def test_a_column_does_not_know_what_is_taught_after_it():
    made, features, voices = decoder()
    memory = made.remember(features, voices, torch.tensor([12, 12]))
    truth, columns = torch.randn(2, 9, 80), torch.tensor([9, 9])
    always = torch.ones(9, dtype=torch.bool)
    with torch.no_grad():
        first = made.taught(memory, truth, always, columns)
        changed = truth.clone()
        changed[:, 5:] += 3
        second = made.taught(memory, changed, always, columns)
    assert torch.equal(first.before[:, :6], second.before[:, :6])
    assert not torch.equal(first.before[:, 6:], second.before[:, 6:])


def test_without_a_teacher_training_is_speaking():
    made, features, voices = decoder()
    made.stop = Stops(8)
    spoken = free(made, features, voices, [12, 12])
    memory = made.remember(features, voices, torch.tensor([12, 12]))
    never, lengths = torch.zeros(9, dtype=torch.bool), torch.tensor([9, 9])
    with torch.no_grad():
        trained = made.taught(memory, torch.randn(2, 9, 80), never, lengths)
    np.testing.assert_allclose(trained.mel, spoken.mel, atol=1e-6)


def test_the_teacher_leaves_by_tenths():
    shares = {epoch: taught_share("annealed", epoch, 10, 0.1) for epoch in (0, 9, 10, 89, 95)}
    np.testing.assert_allclose(list(shares.values()), [0.9, 0.9, 0.8, 0.1, 0], atol=1e-9)
    assert taught_share("published", 0, 10, 0.1) == pytest.approx(0.1)
    assert taught_columns("annealed", 0.0, 50, 0, 3).sum() == 0
    assert taught_columns("annealed", 1.0, 50, 0, 3).all()
    drawn = taught_columns("annealed", 0.9, 2000, 0, 3)
    assert 0.87 < drawn.float().mean() < 0.93
    assert torch.equal(drawn, taught_columns("annealed", 0.9, 2000, 0, 3))
    # The authors' code: early on few columns are taught, the first ones.
    early = taught_columns("published", 0.1, 100, 0, 3)
    assert early.sum() == 10 and not early[20:].any()


# -- neighbours --------------------------------------------------------------------------------


def test_a_longer_clip_beside_it_changes_nothing():
    made, features, voices = decoder()
    with torch.no_grad():
        lips = torch.randint(0, 255, (2, 12, 32, 32, 3), dtype=torch.uint8)
        extractor = VideoExtractor(small()).eval()
        mask = torch.arange(12) < torch.tensor([[7], [12]])
        seen = extractor(lips, mask)[:1, :7]
        np.testing.assert_allclose(extractor(lips[:1, :7]), seen, atol=1e-6)

        truth, taught = torch.randn(2, 20, 80), torch.ones(20, dtype=torch.bool)
        both = made.taught(
            made.remember(features, voices, torch.tensor([7, 12])),
            truth,
            taught,
            torch.tensor([11, 20]),
        )
        alone = made.taught(
            made.remember(features[:1, :7], voices[:1], torch.tensor([7])),
            truth[:1, :11],
            taught[:11],
            torch.tensor([11]),
        )
    np.testing.assert_allclose(both.mel[:1, :11], alone.mel, atol=1e-5)
    assert (both.attention[0, :, 7:] == 0).all()


def test_what_lies_behind_a_clip_counts_in_the_authors_code_alone():
    truth = torch.randn(2, 6, 80)
    counts = torch.arange(6) < torch.tensor([[4], [6]])
    found = {}
    for far in (0.0, 5.0):
        mel = truth.clone()
        mel[0, 4:] += far
        decoded = Decoded(mel, mel, torch.zeros(2, 6), torch.zeros(2, 6, 1), counts.sum(1), None)
        found[far] = [losses_of(decoded, truth, counts, code) for code in (False, True)]
    assert found[5.0][0]["mel"] == found[0.0][0]["mel"] == 0
    assert found[5.0][1]["mel"] > 0
    assert found[0.0][0]["stop"] == pytest.approx(np.log(2), rel=1e-5)
    assert total({"mel": torch.tensor(1.0), "post": torch.tensor(2.0)}, LossWeights(post=10)) == 21


# -- attention ---------------------------------------------------------------------------------


def test_a_column_and_its_frame_are_at_one_place():
    """Frame n is on the clock where column 2.5 n is, so that with positions alone attention is a
    diagonal; the authors' code counts both by ones."""
    made, _, _ = decoder()
    frames, columns = (
        made._places(40, torch.device("cpu"), 2.5),
        made._places(100, torch.device("cpu"), 1.0),
    )
    nearest = (columns @ frames.T).argmax(1)
    wanted = (torch.arange(100) / 2.5).clamp(max=39)
    assert (nearest - wanted).abs().max() <= 0.5
    table = positions(torch.arange(4.0), 6)
    np.testing.assert_allclose(table[:, 0], np.sin(np.arange(4)), atol=1e-6)
    np.testing.assert_allclose(table[:, 3], np.cos(np.arange(4) / 10_000 ** (2 / 6)), atol=1e-6)


# -- by heart ----------------------------------------------------------------------------------


def test_a_batch_of_four_is_learnt_by_heart_to_the_sheets_figure():
    """Post-net's error below .05 (of columns of deviation 1), without a teacher at the end."""
    torch.manual_seed(0)
    made = MelDecoder(small())
    features = torch.nn.functional.normalize(torch.randn(4, 4, made.shape.visual_features), dim=2)
    truth = torch.randn(4, 4, 80).repeat_interleave(2, 1)
    voices, lengths, columns = torch.rand(4, 256), torch.full((4,), 4), torch.full((4,), 8)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)
    counts = torch.ones(4, 8, dtype=torch.bool)
    for step in range(150):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / 150)
        taught = torch.rand(8) < 1 - step / 50
        decoded = made.taught(made.remember(features, voices, lengths), truth, taught, columns)
        losses = losses_of(decoded, truth, counts, False)
        optimizer.zero_grad()
        total(losses, LossWeights()).backward()
        torch.nn.utils.clip_grad_norm_(made.parameters(), 1.0)
        optimizer.step()
    found = {name: round(float(value.detach()), 4) for name, value in losses.items()}
    assert found["post"] < 0.05 and found["stop"] < 0.1, found


# -- sound and chunks --------------------------------------------------------------------------


def chirp(num_frames: int = 40) -> np.ndarray:
    time = np.arange(640 * num_frames) / 16_000
    phase = 2 * np.pi * np.cumsum(200 + 1500 * time / time[-1]) / 16_000
    return (0.3 * np.sin(phase) + 0.05 * np.sin(3 * phase)).astype(np.float32)


def test_a_mel_comes_back_as_sound_at_its_own_time_and_length():
    sound = chirp()
    mel = lip2speech_mel(sound)
    assert len(mel) == lip2speech_columns(40) == 101
    back = lip2speech_sound(mel, 40)
    assert back.shape == sound.shape and back.dtype == np.float32
    heard = mel > 0  # 39 dB under the loudest, and above
    error = np.square(lip2speech_mel(back) - mel)[heard].mean()
    assert error < 0.5
    short = lip2speech_sound(mel[:50], 40)
    assert len(short) == len(sound) and not short[49 * 256 :].any()
    assert len(lip2speech_sound(np.pad(mel, ((0, 30), (0, 0))), 40)) == len(sound)
    bank = mel_htk(80, 1024)
    assert bank.shape == (80, 513)


def test_long_videos_are_chunks_of_two_seconds():
    assert list(chunks(125, 50)) == [(0, 50), (50, 100), (76, 125)]
    assert list(chunks(50, 50)) == [(0, 50)] and list(chunks(7, 50)) == [(0, 7)]
    for length in range(1, 160):
        spans = list(chunks(length, 50))
        assert spans[0][0] == 0 and spans[-1][1] == length
        for (start, end), (other, _) in zip(spans, spans[1:], strict=False):
            assert start < other <= end
        assert all(start % 2 == 0 and end - start <= 50 for start, end in spans)


def test_a_model_says_so_where_a_voice_is_asked_for_by_name():
    made = speaker()
    with pytest.raises(ValueError, match="comes from the face"):
        made.speak(np.zeros((5, 256, 256, 3), np.uint8), "carl")


@pytest.mark.parametrize("frames", [7, 51, 125])
def test_it_speaks_as_long_as_it_is_seen_and_what_stops_early_is_silent(frames):
    made = speaker()
    pictures = np.random.default_rng(0).integers(0, 255, (frames, 256, 256, 3), np.uint8)
    said = []

    def column(lips, voice):
        said.append(len(lips))
        return np.full((20, 80), float(len(said)), np.float32)

    made._said = column
    mel = made.mel(pictures)
    assert len(mel) == lip2speech_columns(frames)
    spans = list(chunks(frames, 50))
    assert said == [end - start for start, end in spans]
    done = 0
    for number, (start, end) in enumerate(spans, 1):
        first = start * 5 // 2
        new = min(max(0, 20 - (done - first)), len(mel) - done)
        assert (mel[done : done + new] == number).all()
        done = end * 5 // 2
    assert made.voice_of_face(pictures[0, :75, :75]).shape == (256,)


def speaker():
    from training.models.lip2speech.speak import Lip2SpeechSpeaker

    config = replace(KINDS["lip2speech"].presets["tiny"](), shape=small())
    facts = {"mel": {"mean": [0.0] * 80, "deviation": [1.0] * 80}}
    torch.manual_seed(0)
    return Lip2SpeechSpeaker(Lip2Speech(config.shape).state_dict(), config, facts)
