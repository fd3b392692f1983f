"""Losses: nothing where nothing is wrong, the published values, and gradients everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly
from torch.nn import functional

from evaluation.metrics.intelligibility import stoi as published_stoi
from training.losses.adversarial import discriminator_loss, generator_loss
from training.losses.columns import mean_squared
from training.losses.stft import RESOLUTIONS, magnitude, multi_resolution_stft
from training.losses.stoi import _bands, stoi, stoi_loss, to_10_khz


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def speech(seconds: float, seed: int = 0, pauses: bool = True) -> np.ndarray:
    """A buzz through moving formants in syllables, silent between them, float64 at 16 kHz."""
    random = np.random.default_rng(seed)
    time = np.arange(int(16000 * seconds)) / 16000
    pitch = 110 + 20 * np.sin(2 * np.pi * 1.3 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    formants = [500 + 250 * np.sin(5 * time), 1500 + 500 * np.sin(7 * time), 2600 + 0 * time]
    sound = np.zeros_like(time)
    for n in range(1, 45):
        gain = sum(np.exp(-(((n * pitch - f) / 160) ** 2)) for f in formants)
        sound += gain * np.sin(n * phase)
    least = 0.0 if pauses else 0.1
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * time + seed), least, 1) ** 0.5
    return 0.1 * syllables * (sound + 0.1 * random.standard_normal(len(time)))


def with_noise(sound: np.ndarray, decibel: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(len(sound))
    return sound + noise * sound.std() * 10 ** (-decibel / 20)


# -- STOI --------------------------------------------------------------------------------------


@pytest.mark.parametrize("decibel", [-5.0, 5.0, 20.0])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-5), (torch.float32, 1e-4)])
def test_stoi_is_pystois(decibel, dtype, tolerance):
    """Rows of different silence in one batch, each as if it were alone."""
    clean = np.stack([speech(2.0, seed) for seed in range(3)])
    clean[1, 8000:14000] = 0  # one with a hole
    noisy = np.stack([with_noise(row, decibel) for row in clean])
    value, told = stoi(torch.tensor(clean, dtype=dtype), torch.tensor(noisy, dtype=dtype))
    expected = [published_stoi(a, b) for a, b in zip(clean, noisy, strict=True)]
    assert told.all()
    assert value.tolist() == pytest.approx(expected, abs=tolerance)


def test_stoi_of_a_training_segment_is_pystois():
    """.6 s, 45 frames, as the vocoder has them."""
    clean = speech(0.6, pauses=False)
    noisy = with_noise(clean, 3.0)
    value, told = stoi(torch.tensor(clean)[None], torch.tensor(noisy)[None])
    assert told.item() and value.item() == pytest.approx(published_stoi(clean, noisy), abs=1e-5)


def test_stois_parts_are_pystois():
    from pystoi.stoi import OBM
    from pystoi.utils import _resample_window_oct, resample_oct

    assert np.array_equal(_bands(), OBM)
    for size in (9600, 9601, 16003):
        sound = np.random.default_rng(size).standard_normal(size)
        found = to_10_khz(torch.tensor(sound)[None])[0].numpy()
        expected = resample_oct(sound, 10000, 16000)
        assert found.shape == expected.shape and np.allclose(found, expected, atol=1e-9)
    window = _resample_window_oct(10000, 16000)
    assert np.allclose(resample_poly(sound, 5, 8, window=window / window.sum()), found)


def test_stoi_has_gradients_that_lead_to_the_reference():
    clean = torch.tensor(speech(1.0), dtype=torch.float32)[None]
    guess = torch.tensor(with_noise(speech(1.0), 0.0), dtype=torch.float32)[None].requires_grad_()
    adam, losses = torch.optim.Adam([guess], 1e-3), []
    for _ in range(12):
        loss = stoi_loss(clean, guess)
        adam.zero_grad()
        loss.backward()
        assert guess.grad.isfinite().all() and guess.grad.abs().sum() > 0
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


def test_stoi_of_silence_is_no_trap():
    clean = torch.tensor(np.stack([speech(1.0), np.zeros(16000)]), dtype=torch.float32)
    guess = torch.zeros(2, 16000, requires_grad=True)
    loss = stoi_loss(clean, guess)
    loss.backward()
    assert loss.isfinite() and guess.grad.isfinite().all()
    burst = torch.zeros(1, 16000)
    burst[:, 8000:9000] = torch.randn(1000)  # too little that is not silent
    value, told = stoi(burst, burst)
    assert not told.item() and value.item() == 0 and stoi_loss(burst, burst) == 0
    with pytest.raises(ValueError, match="6000 samples"):
        stoi(torch.zeros(1, 6000), torch.zeros(1, 6000))


# -- STFT --------------------------------------------------------------------------------------


def test_stft_losses_are_zero_at_identity_and_not_elsewhere():
    sound = torch.tensor(speech(0.6), dtype=torch.float32)[None]
    assert multi_resolution_stft(sound, sound) == (0, 0)
    louder = multi_resolution_stft(sound, 2 * sound)
    assert louder.convergence == pytest.approx(1.0, abs=0.02)  # |X - 2 X| / |X|
    assert 0 < louder.log_magnitude <= np.log(2) + 1e-5
    assert multi_resolution_stft(sound, torch.zeros_like(sound)).convergence > 0.95


def test_stft_magnitudes_are_numpys():
    sound = torch.randn(1, 9600, dtype=torch.float64)
    for num_fft, hop, window in RESOLUTIONS:
        found = magnitude(sound, num_fft, hop, window)[0]
        padded = np.pad(sound[0].numpy(), num_fft // 2, mode="reflect")
        taper = np.zeros(num_fft)
        side = (num_fft - window) // 2
        taper[side : side + window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        for column in (0, 7, found.shape[1] - 1):
            span = padded[column * hop : column * hop + num_fft]
            assert np.allclose(found[:, column], np.abs(np.fft.rfft(span * taper)), atol=1e-3)


def test_stft_losses_have_gradients_at_silence():
    sound = torch.tensor(speech(0.6), dtype=torch.float32)[None]
    guess = (1e-3 * torch.randn(1, 9600)).requires_grad_()
    loss = multi_resolution_stft(sound, guess)
    (loss.convergence + loss.log_magnitude).backward()
    assert guess.grad.isfinite().all() and guess.grad.abs().sum() > 0


# -- columns, adversaries ----------------------------------------------------------------------


def test_a_mean_over_columns_that_count():
    target, guess = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    counts = torch.tensor([[True, True, False, False], [False] * 4])
    guess[0, :, 2:] = 99.0
    assert mean_squared(target, guess, counts) == 1.0
    assert mean_squared(target, guess, counts & False) == 0.0
    everywhere = torch.ones(2, 4, dtype=torch.bool)
    assert mean_squared(target, guess, everywhere) == functional.mse_loss(guess, target)


def test_adversaries_are_content_at_their_targets():
    ones, zeros = [torch.ones(2, 5), torch.ones(2, 3)], [torch.zeros(2, 5), torch.zeros(2, 3)]
    assert discriminator_loss(ones, zeros) == 0 and generator_loss(ones) == 0
    assert discriminator_loss(zeros, ones) == 2 and generator_loss(zeros) == 1
