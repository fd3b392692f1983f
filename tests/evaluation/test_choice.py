"""What chooses a model is what `yld evaluate` prints, and Griffin-Lim keeps the clock."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import wavfile
from scipy.signal import butter, sosfiltfilt

from evaluation.metrics.alignment import find_shift
from evaluation.metrics.choice import aligned_stoi
from evaluation.metrics.errors import Silent
from evaluation.metrics.griffin_lim import sound_of_log_mel
from evaluation.metrics.intelligibility import stoi
from evaluation.records import Utterance
from evaluation.scoring import score
from manifests.spectra import mel_slaney
from pipeline.demo.voice import speak
from tests.evaluation.clips import delayed, speechlike
from training.data.sound_features import slts_mel, slts_sound

BANDS_HZ = ((100, 400), (400, 1000), (1000, 2000), (2000, 3500), (3500, 6500))


def envelopes(sound: np.ndarray) -> list[np.ndarray]:
    """How loud each band is, zero mean and unit energy: what is left where phases are not."""
    smooth = butter(4, 25, fs=16000, output="sos")
    bands = (butter(2, band, "band", fs=16000, output="sos") for band in BANDS_HZ)
    loud = [sosfiltfilt(smooth, np.abs(sosfiltfilt(band, sound))) for band in bands]
    loud = [one - one.mean() for one in loud]
    return [one / np.linalg.norm(one) for one in loud]


def late_ms(reference: np.ndarray, guess: np.ndarray) -> float:
    """How late the guess is, to a sample, by the cross-correlation of the envelopes.

    Around the ends: a linear one has fewer terms the larger the lag, and so a bias towards 0.
    """
    lags = np.arange(-800, 801)
    total = np.zeros(len(lags))
    for one, other in zip(envelopes(reference), envelopes(guess), strict=True):
        product = np.conj(np.fft.rfft(one)) * np.fft.rfft(other)
        total += np.fft.irfft(product, len(one))[lags]
    return float(lags[np.argmax(total)] / 16)


def test_a_stoi_is_the_row_that_yld_evaluate_writes(tmp_path):
    sound = speechlike()
    noise = np.random.default_rng(1).standard_normal(len(sound)).astype(np.float32)
    guess = delayed(sound, 1003) + 0.02 * noise
    paths = [str(tmp_path / name) for name in ("true.wav", "guess.wav")]
    for path, samples in zip(paths, (sound, guess), strict=True):
        wavfile.write(path, 16000, samples)
    rows = score(Utterance("one", *paths), ["a-stoi", "stoi"])
    aligned, plain = (row.value for row in rows)
    assert aligned_stoi(sound, guess) == aligned
    assert stoi(sound, guess) == plain < aligned - 0.1


def test_a_silent_guess_has_no_score():
    with pytest.raises(Silent):
        aligned_stoi(speechlike(), np.zeros(48000, np.float32))


@pytest.mark.parametrize("pitch_hz", [120, 210])
def test_griffin_lim_of_the_slts_mel_is_speech_at_its_own_time(pitch_hz):
    """Measured on voices and eight clips of GRID: STOI .957 to .975, .7 ms early to .2 late."""
    sound = 0.5 * speak(2.4, pitch_hz, 1.0, seed=1).pcm.astype(np.float32)
    sound = sound[: len(sound) // 640 * 640]
    columns = slts_mel(sound)
    back = slts_sound(columns)
    assert back.dtype == np.float32
    assert back.shape == (160 * len(columns),) == sound.shape
    assert abs(late_ms(sound, back)) <= 1
    assert find_shift(sound, back).offset_ms == 0
    assert stoi(sound, back) > 0.94
    assert np.abs(slts_mel(back) - columns).mean() < 0.2  # its level, too
    # The measure would have seen it: 2 ms are 2 ms.
    assert late_ms(sound, delayed(back, 32)) == pytest.approx(late_ms(sound, back) + 2, abs=0.2)
    np.testing.assert_array_equal(slts_sound(columns), back)


def test_a_burst_is_heard_where_its_column_says():
    bank = mel_slaney(80, 640, 55.0, 7600.0)
    columns = np.full((41, 80), np.log(1e-5), np.float32)
    columns[20] = 0.0  # centred on 205 ms
    energy = sound_of_log_mel(columns, bank).astype(np.float64) ** 2
    centre_ms = (energy * np.arange(len(energy))).sum() / energy.sum() / 16
    assert centre_ms == pytest.approx(205, abs=3)


def test_what_is_no_spectrogram_of_the_bank_is_refused():
    bank = mel_slaney(80, 640, 55.0, 7600.0)
    for columns in (np.zeros((0, 80)), np.zeros((4, 79)), np.zeros(80)):
        with pytest.raises(ValueError, match="no spectrogram of 80 bands"):
            sound_of_log_mel(columns, bank)
    with pytest.raises(ValueError, match="not finite"):
        sound_of_log_mel(np.full((4, 80), np.nan), bank)
    assert len(sound_of_log_mel(np.zeros((1, 80)), bank)) == 160
