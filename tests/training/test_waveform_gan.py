"""The waveform GAN's networks and losses: shapes, counts, and what each may hear and see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from training.models.waveform_gan import network, objective
from training.models.waveform_gan.network import Critic, Generator
from training.models.waveform_gan.published import encoder_of, read
from training.models.waveform_gan.shape import GanShape, paper, tiny
from training.models.waveform_gan.speech_encoder import (
    SpeechEncoder,
    SpeechSizes,
    prime_factors,
    resampled,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_are_as_many_as_they_should_be():
    generator = Generator(paper())
    assert count(generator.encoder) == 5_921_664
    assert count(generator.memory) == 394_752
    assert count(generator) == 7_017_073
    assert count(Critic(paper(), 50_000)) == 4_361_985
    encoder = SpeechEncoder(SpeechSizes.ours(50_000))
    assert count(encoder) - count(encoder.memory) == 704_112 and count(encoder.memory) == 789_504


@pytest.mark.parametrize(
    ("shape", "frames"), [(paper(), 7), (GanShape(sample_rate=16_000), 1), (tiny(), 30)]
)
def test_a_frame_of_pictures_is_a_frame_of_sound(shape, frames):
    height = shape.picture_px
    pictures = torch.randint(0, 256, (1, frames, height, 3 * height // 2, 3), dtype=torch.uint8)
    with torch.no_grad():
        made = Generator(shape).eval()(pictures)
    assert made.shape == (1, frames * shape.samples_per_frame) and made.abs().max() <= 1
    assert shape.samples_per_frame in (2000, 640)


def test_sizes_within_are_those_of_the_sheet():
    generator, critic = Generator(paper()).eval(), Critic(paper(), 50_000)
    x, sizes = torch.zeros(1, 256, 1), []
    for layer in generator.decoder.layers:
        x = layer(x)
        if isinstance(layer, nn.ConvTranspose1d):
            sizes.append(x.shape[2])
    assert sizes == [5, 25, 50, 100, 200, 2000]
    x, sizes = torch.zeros(1, 1, 50_000), []
    for layer in critic.layers:
        x = layer(x)
        if isinstance(layer, nn.Conv1d):
            sizes.append(x.shape[2])
    assert sizes == [10000, 2000, 400, 80, 16, 1]


def test_last_layers_have_no_batch_norm_and_the_critic_none_at_all():
    generator = Generator(tiny())
    for layers in (generator.encoder.layers, generator.decoder.layers):
        assert isinstance(layers[-1], nn.Tanh) and not isinstance(
            layers[-2], nn.modules.batchnorm._BatchNorm
        )
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    assert not any(isinstance(m, norms) for m in Critic(tiny(), 16_000).modules())


def test_a_frame_of_sound_hears_of_three_pictures_to_come_and_no_more():
    torch.manual_seed(0)
    generator = Generator(tiny()).eval()
    pictures = torch.rand(1, 12, 32, 48, 3) * 255

    def sound_of_frame_4(changed: int) -> torch.Tensor:
        other = pictures.clone()
        other[:, changed] = 255 - other[:, changed]
        with torch.no_grad():
            return generator(other)[:, 4 * 640 : 5 * 640]

    with torch.no_grad():
        plain = generator(pictures)[:, 4 * 640 : 5 * 640]
    assert torch.equal(sound_of_frame_4(8), plain)
    assert not torch.equal(sound_of_frame_4(7), plain)
    assert not torch.equal(sound_of_frame_4(0), plain)


def test_windows_cut_out_give_what_the_convolution_over_time_gives():
    torch.manual_seed(0)
    encoder = Generator(tiny()).encoder.eval()
    pictures = torch.randn(1, 3, 9, 32, 48)
    with torch.no_grad():
        whole = encoder(pictures)
        window = encoder.inside(pictures[:, :, 1:8])
    torch.testing.assert_close(whole[..., 4:5], window)


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope():
    weights = torch.randn(20, dtype=torch.float64)
    one, other = torch.randn(2, 3, 20, dtype=torch.float64)
    between = torch.rand(3, dtype=torch.float64)
    found = objective.gradient_penalty(lambda x: x @ weights, one, other, between)
    assert float(found) == pytest.approx((float(weights.norm()) - 1) ** 2, rel=1e-5)
    critic = Critic(tiny(), 16_000)
    real, made = torch.randn(2, 2, 16_000)
    both = objective.gradient_penalty(critic, real, made, between[:2].float())
    each = [
        objective.gradient_penalty(
            critic, real[i : i + 1], made[i : i + 1], between[i : i + 1].float()
        )
        for i in (0, 1)
    ]
    torch.testing.assert_close(both, torch.stack(each).mean())


def test_total_variation_and_distance_of_plain_sounds():
    assert float(objective.total_variation(torch.full((2, 100), 0.3))) == 0
    alternating = torch.tensor([1.0, -1.0]).repeat(1, 50)
    assert float(objective.total_variation(alternating)) == pytest.approx(2 * 99 / 100)
    assert float(objective.distance(alternating, alternating)) == 0
    weights = objective.LossWeights(tv=0)
    terms = {"tv": torch.tensor(1.0), "l1": torch.tensor(0.5)}
    assert {k: float(v) for k, v in objective.weighted(terms, weights).items()} == {"l1": 75.0}


def test_our_phi_is_compared_in_units_of_its_own_spread():
    features = torch.tensor([0.0, 2.0]).reshape(1, 2, 1).expand(3, 2, 5)
    assert float(objective.deviation(features)) == pytest.approx(1)
    assert float(objective.deviation(0.01 * features)) == pytest.approx(0.01)
    assert float(objective.deviation(torch.ones(2, 3, 4))) == pytest.approx(1e-6)


def test_a_cut_begins_where_it_should():
    sound = torch.arange(20.0).reshape(2, 10)
    assert network.cut(sound, torch.tensor([1, 5]), 3).tolist() == [[1, 2, 3], [15, 16, 17]]


def test_sound_is_resampled_by_its_spectrum():
    time = np.arange(16_000) / 16_000
    tone = torch.tensor(np.sin(2 * np.pi * 440 * time)[None], dtype=torch.float32)
    made = resampled(tone, 16_000, 50_000)
    wanted = np.sin(2 * np.pi * 440 * np.arange(50_000) / 50_000)
    np.testing.assert_allclose(made[0].numpy(), wanted, atol=1e-4)
    back = resampled(made, 50_000, 16_000)
    torch.testing.assert_close(back, tone, atol=1e-4, rtol=0)
    assert prime_factors(200) == [2, 2, 2, 5, 5]


def test_the_speech_encoder_passes_gradients_and_its_statistics_stay():
    encoder = SpeechEncoder(SpeechSizes.ours(16_000, 0.25))
    encoder.hold_statistics()
    before = {k: v.clone() for k, v in encoder.named_buffers()}
    sound = torch.randn(1, 640 * 6, requires_grad=True)
    encoder(sound).sum().backward()
    assert sound.grad is not None and sound.grad.abs().sum() > 0
    assert all(torch.equal(v, before[k]) for k, v in encoder.named_buffers())


# -- the published file --------------------------------------------------------------------------


def published_like(encoder: SpeechEncoder) -> dict:
    """What the authors' file holds, of small sizes, under its names."""
    state = {}
    for name, value in encoder.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "convolutions":
            state[f"encoder.cl.{rest}"] = value
        elif part == "norms":
            number, _, leaf = rest.partition(".")
            state[f"encoder.activations.{number}.0.{leaf}"] = value
        else:
            state[f"rnn.{rest}"] = value
    sizes = encoder.sizes
    return {
        "audio_rate": sizes.rate,
        "audio_feat_len": sizes.window / sizes.rate,
        "rnn_gen_dim": sizes.features,
        "aud_enc_dim": sizes.code,
        "video_rate": 25,
        "mean_face": np.zeros((68, 2)),
        "encoder": state,
    }


def test_the_published_file_is_read_as_tensors_and_facts(tmp_path):
    sizes = SpeechSizes(50_000, 10_000, 24, 16, 4)
    encoder = SpeechEncoder(sizes)
    for use_zip in (True, False):
        path = tmp_path / "grid.dat"
        torch.save(published_like(encoder), path, _use_new_zipfile_serialization=use_zip)
        found = read(path)
        assert found.sizes == sizes
        sound = torch.randn(1, 6000)
        torch.testing.assert_close(found.eval()(sound), encoder.eval()(sound))


class Harmful:
    def __reduce__(self):
        return print, ("harm",)


def test_a_file_that_names_anything_else_is_refused(tmp_path, capsys):
    path = tmp_path / "grid.dat"
    told = published_like(SpeechEncoder(SpeechSizes(16_000, 3200, 8, 8, 4)))
    torch.save(told | {"mean_face": Harmful()}, path)
    with pytest.raises(ValueError, match="not read as tensors and facts"):
        read(path)
    assert "harm" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="lacks some of"):
        encoder_of({"encoder": {}}, "grid.dat")
    with pytest.raises(ValueError, match=r"grid\.dat"):
        encoder_of(told | {"audio_rate": 50_000}, "grid.dat")
