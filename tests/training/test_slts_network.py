"""SLTS's networks: sizes, the clock, the equations of its mechanism, and which loss trains what."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.layers.conformer import Conformer, RelativeAttention, by_position, relative_positions
from training.layers.discriminators import Discriminators
from training.layers.front_end import FrameEncoder, ResNet18, normalise
from training.layers.post_net import PostNet
from training.layers.sequences import frames_to_columns, mask_of_columns, within
from training.layers.univnet import UnivNet, location_variable_convolution
from training.losses.columns import self_synchronization
from training.models.slts.network import Slts, segment_starts, segments
from training.models.slts.objective import LossWeights, mel_losses, sound_losses, total
from training.models.slts.shape import SltsShape, paper, tiny
from training.models.slts.synchronization import (
    OffsetPredictor,
    cross_correlation,
    hard_correct,
    most_probable,
    soft_correct,
)

SMALL = replace(tiny(), width=1 / 16, vocoder_width=1 / 4, dropout=0.0)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def trained(module: nn.Module | None) -> bool:
    """Whether a gradient came to any of its parameters."""
    assert module is not None
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def batch(frames: int = 24, shape: SltsShape = SMALL) -> tuple[Tensor, Tensor]:
    pictures = torch.randint(0, 256, (2, frames, 32, 32), dtype=torch.uint8)
    return pictures, torch.randn(2, shape.num_mels, 4 * frames)


# -- sizes -------------------------------------------------------------------------------------


def test_parameters_are_as_many_as_the_papers_sizes_say():
    assert count(Conformer(144)) == 8_107_776
    assert count(Conformer(256)) == 25_423_872
    assert count(PostNet(144)) == 4_511_984
    assert count(PostNet(256)) == 4_798_704
    assert count(ResNet18()) == 11_176_512
    assert count(OffsetPredictor(512, 80, 256, 20, 0.05)) == 720_384


@pytest.mark.parametrize(
    "channels, with_norm, without", [(16, 3_976_690, 3_956_273), (32, 14_840_162, 14_763_809)]
)
def test_a_vocoder_loses_its_weight_norms_and_sounds_the_same(channels, with_norm, without):
    vocoder = UnivNet(channels)
    mel, noise = torch.randn(1, 80, 5), torch.randn(1, 64, 5)
    assert count(vocoder) == with_norm
    with torch.no_grad():
        before = vocoder(mel, noise)
        vocoder.remove_weight_norm()
        assert count(vocoder) == without
        assert torch.allclose(before, vocoder(mel, noise), atol=1e-6)


def test_discriminators_are_the_published_ones_and_take_every_length():
    judges = Discriminators()
    assert count(judges.mrsd) == 280_902 and count(judges.mpwd) == 17_444_810
    small = Discriminators(1 / 16)
    assert [s.dim() for s in small(torch.randn(2, 9601))] == [2] * 8


def test_the_papers_networks_are_the_tiny_ones_classes():
    """Of one block each, all layers have the same name and kind."""

    def kinds(shape: SltsShape) -> dict[str, str]:
        with torch.device("meta"):
            network = Slts(replace(shape, conformer_blocks=1))
        return {name: type(module).__name__ for name, module in network.named_modules()}

    assert kinds(paper()) == kinds(paper("M")) == kinds(tiny())
    with torch.device("meta"):
        whole = Slts(paper())
    assert count(whole.decoder.conformer) == 8_107_776 and count(whole.vocoder) == 3_976_690


def test_shapes():
    network, (pictures, mel) = Slts(SMALL, num_speakers=3).eval(), batch()
    heard = network(pictures, mel, torch.tensor([0, 2]))
    assert heard.mel.shape == heard.hard.shape == heard.corrected.soft.shape == mel.shape
    assert heard.corrected.log_p_data.shape == heard.corrected.log_p_self.shape == (2, 41)
    assert torch.allclose(heard.corrected.log_p_data.exp().sum(1), torch.ones(2))
    assert network.speak(heard.mel).shape == (2, 160 * 96)
    assert network.measure(pictures, mel).equal(heard.corrected.log_p_data)
    assert FrameEncoder(1 / 16)(normalise(torch.zeros(1, 2, 96, 96, 3).byte())).shape == (1, 32, 2)


def test_without_asm_there_is_nothing_to_correct():
    network, (pictures, mel) = Slts(replace(SMALL, asm=False)), batch()
    heard = network(pictures, mel)
    assert heard.corrected is None and heard.hard is heard.mel
    assert network.dsm is None and network.ssm is None
    losses = mel_losses(heard, mel)
    assert list(losses) == ["hard"]
    assert torch.allclose(losses["hard"], functional.mse_loss(heard.mel, mel))
    with pytest.raises(ValueError, match="no offset"):
        network.measure(pictures, mel)


# -- the clock ---------------------------------------------------------------------------------


def half_pixel(frames: Tensor) -> Tensor:
    return functional.interpolate(frames, scale_factor=4, mode="linear", align_corners=False)


@pytest.mark.parametrize("rule, is_late_ms", [(frames_to_columns, 0.0), (half_pixel, 20.0)])
def test_what_frame_5_shows_is_drawn_at_200_ms(rule, is_late_ms):
    frames = torch.zeros(1, 1, 11)
    frames[..., 5] = 1.0
    columns = rule(frames)[0, 0]
    centre_ms = 10 * torch.arange(44) + 5
    assert (columns * centre_ms).sum() / columns.sum() == pytest.approx(5 * 40 + is_late_ms)


def test_column_j_reads_frame_j_over_4_and_an_eighth():
    ramp = torch.arange(6.0).expand(1, 1, 6)
    expected = ((10 * torch.arange(24) + 5) / 40).clamp_max(5.0)
    assert torch.allclose(frames_to_columns(ramp)[0, 0], expected)


def test_the_last_frame_of_a_shorter_clip_is_held():
    x, mask = torch.randn(2, 3, 7), within(torch.tensor([4, 7]), 7)
    x = x.masked_fill(~mask[:, None], 99.0)
    assert frames_to_columns(x, mask)[:1, :, :16].equal(frames_to_columns(x[:1, :, :4]))
    assert mask_of_columns(mask).sum(1).tolist() == [16, 28]


def test_predictors_and_decoder_see_frames_where_the_clock_says():
    network, (pictures, mel) = Slts(SMALL).eval(), batch()
    passed: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module) -> None:
        module.register_forward_pre_hook(lambda _, given: passed.update({name: given[0]}))
        module.register_forward_hook(lambda _, given, out: passed.update({name + " out": out}))

    keep("encoder", network.encoder), keep("dsm", network.dsm.see), keep("ssm", network.ssm.see)
    keep("conformer", network.decoder.conformer), keep("post-net", network.decoder.post_net)
    network(pictures, mel)
    for predictor in ("dsm", "ssm"):
        assert passed[predictor].equal(frames_to_columns(passed["encoder out"]))
    between = passed["conformer out"].transpose(1, 2)
    assert passed["post-net"].equal(frames_to_columns(between))


# -- layers ------------------------------------------------------------------------------------


def test_the_front_end_is_torchvisions_resnet_18():
    from torchvision.models import resnet18

    theirs, ours = resnet18(num_classes=1).eval(), ResNet18().eval()
    theirs.fc = nn.Identity()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        x = torch.randn(1, 3, 96, 96)
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_a_frames_features_are_of_that_frame_alone():
    encoder = FrameEncoder(1 / 16, 1).eval()
    pictures = torch.randn(1, 5, 1, 32, 32)
    other = pictures.clone()
    other[:, 2] += 1
    changed = (encoder(pictures) != encoder(other)).any(1)[0]
    assert changed.tolist() == [False, False, True, False, False]


def test_recomputing_activations_changes_no_number():
    plain = FrameEncoder(1 / 16, 1)
    again = copy.deepcopy(plain)
    again.recompute = True
    pictures = torch.randn(2, 3, 1, 32, 32)
    for encoder in (plain, again):
        encoder(pictures).square().sum().backward()
    for a, b in zip(plain.parameters(), again.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-6)
    for a, b in zip(plain.buffers(), again.buffers(), strict=True):
        assert torch.equal(a, b)


def test_attention_scores_are_transformer_xls():
    """(q_i + u) k_j + (q_i + v) W r_(i - j), written out."""
    attention = RelativeAttention(8, 2, 0.0)
    nn.init.normal_(attention.content_bias), nn.init.normal_(attention.position_bias)
    x, length, size = torch.randn(1, 5, 8), 5, 4
    q, k, v = (f(x)[0].view(5, 2, 4) for f in (attention.query, attention.key, attention.value))
    table = attention.position(relative_positions(length, 8, x)).view(-1, 2, size)
    out = torch.zeros(length, 2, size)
    for head in range(2):
        u, w = attention.content_bias[head, 0], attention.position_bias[head, 0]
        for i in range(length):
            scores = [
                (q[i, head] + u) @ k[j, head] + (q[i, head] + w) @ table[length - 1 - (i - j), head]
                for j in range(length)
            ]
            share = (torch.stack(scores) / math.sqrt(size)).softmax(0)
            out[i, head] = share @ v[:, head]
    expected = attention.out(out.flatten(1))
    found = attention(x, relative_positions(length, 8, x), None)[0]
    assert torch.allclose(found, expected, atol=1e-5)


def test_distances_are_sorted_into_positions():
    length = 4
    by_distance = torch.arange(length - 1, -length, -1.0).expand(1, 1, length, -1)
    i, j = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    assert by_position(by_distance)[0, 0].equal(i - j)


def test_one_kernel_for_all_columns_is_a_convolution():
    x, kernel, bias = torch.randn(2, 3, 40), torch.randn(3, 6, 3), torch.randn(6)
    found = location_variable_convolution(
        x,
        kernel.expand(2, 3, 6, 3).unsqueeze(-1).expand(-1, -1, -1, -1, 5),
        bias.expand(2, 6)[..., None],
    )
    plain = functional.conv1d(x, kernel.transpose(0, 1), bias, padding=1)
    assert torch.allclose(found, plain, atol=1e-5)
    with pytest.raises(ValueError, match="41 samples for 5 mel columns"):
        location_variable_convolution(
            torch.zeros(1, 3, 41), torch.zeros(1, 3, 6, 3, 5), torch.zeros(1, 6, 5)
        )


# -- the mechanism -----------------------------------------------------------------------------


def test_equation_1_term_by_term():
    seen, heard = torch.randn(2, 3, 9), torch.randn(2, 3, 9)
    lengths = torch.tensor([9, 6])
    found = cross_correlation(seen, heard, 8, within(lengths, 9))
    for b, length in enumerate(lengths.tolist()):
        for k in range(-8, 9):
            span = range(max(k, 0), min(k, 0) + length)
            terms = [float(seen[b, :, i] @ heard[b, :, i - k]) for i in span]
            expected = sum(terms) / len(terms) if terms else -math.inf
            assert float(found[b, k + 8]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("lag", [-7, 0, 4, 10])
def test_a_picture_that_lags_by_k_has_its_maximum_at_plus_k(lag):
    """And what the picture says, moved by that, is what the sound says."""
    sound = functional.normalize(torch.randn(1, 16, 80), dim=1)
    seen = sound.roll(lag, 2)  # later by `lag` columns
    log_p = functional.log_softmax(cross_correlation(seen, sound, 10) / 0.05, 1)
    assert most_probable(log_p).item() == lag
    hard, counts = hard_correct(seen, most_probable(log_p))
    assert counts.sum() == 80 - abs(lag)
    assert hard.masked_select(counts[:, None]).equal(sound.masked_select(counts[:, None]))
    soft, inner = soft_correct(seen, log_p)
    assert inner[0].nonzero().flatten().tolist() == list(range(10, 70))
    assert torch.allclose(soft[..., 10:70], sound[..., 10:70], atol=1e-3)


def test_the_soft_correction_is_equation_3_written_out():
    mel, log_p = torch.randn(2, 3, 20), torch.randn(2, 7).log_softmax(1)
    soft, inner = soft_correct(mel, log_p, within(torch.tensor([20, 15]), 20))
    expected = sum(
        log_p.exp()[:, k + 3, None, None] * mel[:, :, 3 + k : 17 + k] for k in range(-3, 4)
    )
    assert torch.allclose(soft[:, :, 3:17], expected, atol=1e-6)
    assert inner.sum(1).tolist() == [14, 9]


def test_columns_out_of_range_are_zero_and_do_not_count():
    mel = torch.randn(3, 2, 10)
    hard, counts = hard_correct(
        mel, torch.tensor([3, -2, 0]), within(torch.tensor([10, 8, 10]), 10)
    )
    assert counts.int().tolist() == [[1] * 7 + [0] * 3, [0] * 2 + [1] * 6 + [0] * 2, [1] * 10]
    assert hard[0, :, :7].equal(mel[0, :, 3:]) and hard[1, :, 2:8].equal(mel[1, :, :6])
    assert not hard[0, :, 7:].any() and not hard[1, :, :2].any() and not hard[1, :, 8:].any()


def test_a_predictor_learns_planted_lags_from_the_soft_loss_alone():
    """No lag is told: the one that makes the decoder's spectrogram fit the sound is found.

    A decoder that is perfect on the picture's time; sound that is the same, read k columns later.
    """
    radius, frames = 10, 40
    voice = torch.randn(6, 8)
    predictor = OffsetPredictor(8, 6, 16, radius, 0.05)
    adam = torch.optim.Adam(predictor.parameters(), 3e-3)

    def plant(clips: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = torch.randn(clips, 8, frames)
        guess = torch.tanh(voice @ frames_to_columns(features))
        lags = torch.randint(-radius + 1, radius, (clips,))
        noise = torch.randn_like(guess) / 10
        # The picture lags by k: the sound says k columns earlier what is seen.
        return features, guess, hard_correct(guess, lags)[0] + noise, lags

    for _ in range(60):
        features, guess, sound, _ = plant(16)
        soft, inner = soft_correct(guess, predictor(features, sound))
        loss = (soft - sound).square().mean(1)[inner].mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    predictor.eval()
    with torch.no_grad():
        features, guess, sound, lags = plant(64)
        log_p = predictor(features, sound)
        found = most_probable(log_p)
        assert (found == lags).float().mean() > 0.95
        soft, inner = soft_correct(guess, log_p)
        hard, counts = hard_correct(guess, found)
    plain = (guess - sound).square().mean(1)
    assert (soft - sound).square().mean(1)[inner].mean() < plain[inner].mean() / 4
    assert (hard - sound).square().mean(1)[counts].mean() < plain[counts].mean() / 8
    printed, there = hard_correct(guess, -found)
    assert (printed - sound).square().mean(1)[there].mean() > plain[there].mean() / 2


def test_the_self_synchronization_loss_of_a_predictor_that_knows_nothing():
    flat = functional.log_softmax(torch.zeros(2, 41), 1)
    assert self_synchronization(flat) == pytest.approx(math.log(41))


# -- which loss trains what --------------------------------------------------------------------


@pytest.mark.parametrize(
    "term, trains",
    [
        ("soft", {"encoder", "dsm"}),
        ("hard", {"encoder", "decoder", "speakers"}),
        ("ssm", {"encoder", "decoder", "speakers", "ssm"}),
    ],
)
def test_a_loss_trains_what_the_paper_says(term, trains):
    network, (pictures, mel) = Slts(SMALL), batch()
    mel_losses(network(pictures, mel), mel)[term].backward()
    rooms = ("encoder", "decoder", "speakers", "dsm", "ssm", "vocoder")
    assert {room for room in rooms if trained(getattr(network, room))} == trains


def test_the_soft_losss_way_into_the_pictures_can_be_closed():
    network, (pictures, mel) = Slts(replace(SMALL, dsm_detach_video=True)), batch()
    mel_losses(network(pictures, mel), mel)["soft"].backward()
    assert trained(network.dsm) and not trained(network.encoder)


def test_the_vocoders_losses_reach_the_decoder_and_no_predictor():
    network, (pictures, mel) = Slts(SMALL), batch(40)
    heard = network(pictures, mel)
    starts = segment_starts(heard.hard_counts, torch.tensor([0.0, 0.999]))
    part, sound = segments(heard.hard, torch.randn(2, 25600), starts)
    losses = sound_losses(sound, network.speak(part))
    assert set(losses) == {"convergence", "log_magnitude", "stoi"}
    total(losses | mel_losses(heard, mel), LossWeights(soft=0.0, ssm=0.0)).backward()
    assert trained(network.vocoder) and trained(network.decoder) and not trained(network.dsm)
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("lengths", [None, [40, 37]])
def test_bfloat16_trains_and_measures_what_float32_does(lengths):
    network, (pictures, mel) = Slts(SMALL), batch(40)
    lengths = None if lengths is None else torch.tensor(lengths)
    half = copy.deepcopy(network)
    exact = network(pictures, mel, lengths=lengths)
    with torch.autocast("cpu", torch.bfloat16):
        heard = half(pictures, mel, lengths=lengths)
        part, sound = segments(heard.hard, torch.randn(2, 25600), torch.tensor([20, 20]))
        losses = mel_losses(heard, mel) | sound_losses(sound, half.speak(part))
    total(losses, LossWeights()).backward()
    assert all(p.grad.isfinite().all() for p in half.parameters() if p.grad is not None)
    assert heard.corrected.log_p_data.dtype == torch.float32
    for term, value in mel_losses(exact, mel).items():
        assert losses[term].item() == pytest.approx(value.item(), rel=0.1), term


# -- lengths and segments ----------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_a_longer_neighbour_changes_nothing(training):
    """One clip of 18 frames alone, and behind it 6 frames of rubbish that do not count."""
    network, (pictures, mel) = Slts(SMALL).train(training), batch(18)
    longer, silent = copy.deepcopy(network), torch.zeros(2, 80, 24)
    rubbish = torch.randint(0, 256, (2, 6, 32, 32), dtype=torch.uint8)
    lengths = torch.tensor([18, 18])
    alone = network(pictures, mel, lengths=lengths)
    more = longer(torch.cat([pictures, rubbish], 1), torch.cat([mel, silent], 2), lengths=lengths)
    assert torch.allclose(alone.mel, more.mel[..., :72], atol=1e-4)
    assert not more.mel[..., 72:].any()
    assert torch.allclose(alone.corrected.log_p_data, more.corrected.log_p_data, atol=1e-3)
    short, long = mel_losses(alone, mel), mel_losses(more, torch.cat([mel, silent], 2))
    for term, value in short.items():
        assert value.item() == pytest.approx(long[term].item(), rel=1e-3), term


def test_segments_pair_columns_with_their_samples_and_stay_inside():
    counts = torch.zeros(3, 100, dtype=torch.bool)
    counts[0, 5:70], counts[1, 20:80], counts[2, :59] = True, True, True
    starts = [segment_starts(counts, torch.full((3,), c)).tolist() for c in (0.0, 0.5, 0.9999)]
    assert starts == [[5, 20, -1], [8, 20, -1], [10, 20, -1]]
    mel = torch.arange(100.0).expand(2, 80, 100)
    sound = (torch.arange(16000) // 160).float().expand(2, 16000)
    part, samples = segments(mel, sound, torch.tensor([3, 40]))
    assert part.shape == (2, 80, 60) and samples.shape == (2, 9600)
    assert part[1, 0].equal(samples[1, ::160]) and part[1, 0, 0] == 40
