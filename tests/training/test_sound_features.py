"""Each model's input from sound: pinned values, other code's values, and the clock."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from stages.networks.mfcc import mfcc
from training.data.sound_features import (
    FEATURES,
    lip2speech_mel,
    slts_mel,
    speech2vid_mfcc,
    syncnet_mfcc,
    syncnet_windows,
    vca_gan_mel,
)

FRAMES = 25


def glide(frames: int = FRAMES) -> np.ndarray:
    """A tone that rises and swells, int16; no two columns are alike."""
    t = np.arange(frames * 640) / 16000
    tone = np.sin(2 * np.pi * (200 * t + 900 * t**2)) + 0.2 * np.sin(2 * np.pi * 3100 * t)
    return np.rint(9000 * tone * (1 + np.sin(2 * np.pi * 3 * t)) / 2).astype(np.int16)


def click(at_ms: float, num_samples: int = 32) -> np.ndarray:
    """2 ms of a 2 kHz tone that begins at a time, in silence; a second, int16."""
    sound = np.zeros(FRAMES * 640, np.int16)
    first = round(16 * at_ms)
    ticks = np.arange(num_samples)
    sound[first : first + num_samples] = 12000 * np.cos(2 * np.pi * ticks / 8 + 0.4)
    return sound


PINNED = {
    "slts": (
        np.s_[40:43:2, 8:80:18],
        [[-10.6204, -3.6306, -11.5129, -11.5129], [-10.0867, -1.6245, -11.4307, -11.5129]],
    ),
    "lip2speech": (
        np.s_[20:24:3, 8:80:18],
        [[-11.5129, -3.9662, -11.5129, -11.5129], [-11.5129, 6.0459, -11.5129, -11.5129]],
    ),
    "syncnet": (
        np.s_[40:43:2, :13:3],
        [
            [21.1056, -13.48, 55.5788, -2.8273, 32.0479],
            [21.1183, -0.2696, 59.7754, -0.673, 30.7314],
        ],
    ),
    "speech2vid": (
        np.s_[10, :12:4, 3:35:12],
        [[-1.6609, -4.0741, -7.0984], [-26.6489, 3.0547, 21.1638], [43.8701, -6.0295, 29.1421]],
    ),
    "vca_gan": (
        np.s_[40:43:2, 8:80:18],
        [[-0.8004, 0.3333, -1.0, -0.8971], [-0.7865, 0.6631, -0.9445, -0.9445]],
    ),
}


@pytest.mark.parametrize("name", PINNED)
def test_the_values_are_those_that_networks_are_trained_on(name):
    where, values = PINNED[name]
    found = FEATURES[name].make(glide())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[where], values, atol=2e-4)


def librosa_mel(signal: np.ndarray, window: int, hop: int, **settings) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=signal, sr=16000, n_fft=window, hop_length=hop, n_mels=80, pad_mode="reflect", **settings
    )
    return np.log(np.maximum(mel.T, 1e-5))


def test_mels_are_librosas():
    signal = glide() / 32768
    padded = np.pad(signal, 240, mode="reflect")
    slts = librosa_mel(padded, 640, 160, power=1, fmin=55, fmax=7600, center=False)
    np.testing.assert_allclose(slts_mel(glide()), slts, atol=1e-4)
    lip2speech = librosa_mel(signal, 1024, 256, power=2, fmax=8000, htk=True, norm=None)
    np.testing.assert_allclose(lip2speech_mel(glide()), lip2speech, atol=1e-4)


def test_vca_gan_is_its_published_steps_one_by_one():
    from scipy.signal import butter, sosfiltfilt

    signal = sosfiltfilt(butter(7, 55 / 8000, "high", output="sos"), glide() / 32768)
    signal = 0.9 * signal / np.abs(signal).max()
    signal = np.clip(np.append(signal[:1], signal[1:] - 0.97 * signal[:-1]), -1, 1)
    mel = librosa_mel(signal, 640, 160, power=1, fmin=55, fmax=7500)[:100]
    np.testing.assert_allclose(
        vca_gan_mel(glide()), (mel - np.log(1e-5)) / (-np.log(1e-5) / 2) - 1, atol=1e-4
    )


def test_speech2vid_is_its_formulas_written_out():
    sound, frame, column = glide().astype(float), 12, 9
    first = 640 * frame + 160 * (column - 17)
    window = (sound[first : first + 400] - 0.97 * sound[first - 1 : first + 399]) * np.hamming(400)
    magnitudes = np.abs(np.fft.rfft(window, 512))
    low, high = 1127 * np.log(1 + np.array([300, 3700]) / 700)
    corners = 700 * (np.exp(np.linspace(low, high, 42) / 1127) - 1)
    hertz = np.arange(257) * 16000 / 512
    bands = [np.interp(hertz, corners[m : m + 3], [0, 1, 0]) @ magnitudes for m in range(40)]
    expected = [
        (1 + 11 * np.sin(np.pi * k / 22))
        * np.sqrt(2 / 40)
        * sum(np.log(bands[m]) * np.cos(np.pi * k * (m + 0.5) / 40) for m in range(40))
        for k in range(1, 13)
    ]
    found = speech2vid_mfcc(glide())[frame, :, column]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_syncnet_has_the_networks_own_columns_and_four_a_frame():
    sound = glide()
    found = syncnet_mfcc(sound)
    assert found.shape == (4 * FRAMES, 13)
    np.testing.assert_array_equal(found[:-1], mfcc(sound))
    heard = syncnet_windows(found)
    assert heard.shape == (FRAMES - 4, 13, 20)
    np.testing.assert_array_equal(heard[6], found[24:44].T)


@pytest.mark.parametrize("at_ms", [300.0, 404.0, 511.0])
@pytest.mark.parametrize("name", ["slts", "lip2speech", "vca_gan"])
def test_a_click_is_loudest_in_the_column_that_the_clock_says(name, at_ms):
    feature = FEATURES[name]
    loudness = feature.make(click(at_ms)).max(1)
    centres = [feature.centre_ms(column) for column in range(len(loudness))]
    nearest = int(np.argmin(np.abs(np.array(centres) - (at_ms + 1))))
    assert int(np.argmax(loudness)) == nearest


@pytest.mark.parametrize("at_ms", [300.0, 404.0, 511.0])
def test_a_click_is_in_the_syncnet_columns_whose_windows_hold_it(at_ms):
    quiet, loud = (syncnet_mfcc(sound)[:, 0] for sound in (click(0, 0), click(at_ms)))
    centre = FEATURES["syncnet"].centre_ms
    holding = [c for c in range(100) if abs(centre(c) - (at_ms + 1)) < 12.5 + 1]
    assert np.flatnonzero(loud != quiet).tolist() == holding


@pytest.mark.parametrize("at_ms", [300.0, 404.0, 511.0])
def test_a_click_is_in_the_speech2vid_columns_whose_windows_hold_it(at_ms):
    differs = (speech2vid_mfcc(click(at_ms)) != speech2vid_mfcc(click(0, 0))).any(1)
    centre = FEATURES["speech2vid"].centre_ms
    for frame in range(FRAMES):
        holding = [abs(centre(frame) + 10 * (c - 17) - (at_ms + 1)) < 12.5 + 1 for c in range(35)]
        assert differs[frame].tolist() == holding


@pytest.mark.parametrize(("name", "rows"), [("slts", 4), ("syncnet", 4), ("speech2vid", 1)])
@pytest.mark.parametrize("first", [0, 7, 15])
def test_a_window_has_what_the_whole_clip_has_there(name, rows, first):
    whole, window = FEATURES[name].make(glide()), FEATURES[name].of_window(glide(), first, 10)
    np.testing.assert_allclose(window, whole[rows * first : rows * (first + 10)], atol=1e-5)


def test_a_window_of_what_depends_on_the_whole_clip():
    whole = FEATURES["vca_gan"].make(glide())
    np.testing.assert_array_equal(FEATURES["vca_gan"].of_window(glide(), 3, 5), whole[12:32])


def test_a_window_of_the_waveform_and_of_a_rate_that_no_frame_divides():
    np.testing.assert_array_equal(
        FEATURES["waveform"].of_window(glide(), 3, 5), glide()[3 * 640 : 8 * 640]
    )
    found = FEATURES["lip2speech"].of_window(glide(), 3, 5)
    np.testing.assert_array_equal(found, lip2speech_mel(glide()[3 * 640 : 8 * 640]))


@pytest.mark.parametrize("name", FEATURES)
def test_int16_and_floats_are_heard_alike_and_other_types_refused(name):
    feature = FEATURES[name]
    floats = glide().astype(np.float32) / 32768
    if name != "waveform":
        np.testing.assert_array_equal(feature.make(floats), feature.make(glide()))
    with pytest.raises(TypeError, match="int32"):
        feature.make(glide().astype(np.int32))
    with pytest.raises(ValueError, match="frames or more"):
        feature.make(glide(1)[:-1])
    with pytest.raises(ValueError, match="frames 20 to 26"):
        feature.of_window(glide(), 20, 6)


@pytest.mark.parametrize("name", FEATURES)
def test_silence_has_finite_values(name):
    assert np.isfinite(FEATURES[name].make(np.zeros(3200, np.int16))).all()
