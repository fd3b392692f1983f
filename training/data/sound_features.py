"""What each model hears of 16 kHz sound, on the canonical clock (docs/clock.md).

One function a model. Sound is int16, or float in +-1, [N]; a canonical frame is 640 samples, and
time is the first axis of what is made, so that examples of different lengths can be batched. Which
moment a column stands for is part of a feature's definition: `SoundFeature.centre_ms`.
Legend: N samples, T = N // 640 frames, C columns, M bands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.fft import dct
from scipy.signal import butter, lfilter, sosfiltfilt

from evaluation.metrics.griffin_lim import (
    NUM_ITERATIONS,
    sound_of_log_mel,
    sound_of_log_power,
    sound_of_magnitudes,
)
from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from manifests.spectra import mel_htk, mel_slaney, stft, windows
from stages.networks.mfcc import LIFTER, PRE_EMPHASIS, STEP, mfcc
from stages.networks.mfcc import WINDOW as MFCC_WINDOW
from training.data.auditory import auditory_spectrum
from training.data.line_spectrum import line_spectrum

FULL_SCALE = 32768
LOG_FLOOR = 1e-5
COLUMNS_PER_FRAME = 4
"""Of every feature with a column each 10 ms."""
SLTS_WINDOW, SLTS_HOP, SLTS_BANDS, SLTS_LOW_HZ, SLTS_HIGH_HZ = 640, 160, 80, 55.0, 7600.0
LIP2SPEECH_WINDOW, LIP2SPEECH_HOP, LIP2SPEECH_BANDS = 1024, 256, 80
VCA_GAN_HIGH_HZ, VCA_GAN_PEAK, VCA_GAN_ORDER = 7500.0, 0.9, 7
SYNCNET_COLUMNS = 20
EPHRAT_BANDS, EPHRAT_BINS, EPHRAT_FLOOR, EPHRAT_RANGE_DB = 80, 321, 1e-13, 120.0
SPEECH2VID_COLUMNS, SPEECH2VID_CEPSTRA, SPEECH2VID_BANDS = 35, 12, 40
SPEECH2VID_LOW_HZ, SPEECH2VID_HIGH_HZ, SPEECH2VID_FLOOR = 300.0, 3700.0, 1e-10
_SPEECH2VID_BEFORE = SPEECH2VID_COLUMNS // 2


# -- one function a model ----------------------------------------------------------------------


def slts_mel(samples: np.ndarray) -> np.ndarray:
    """Natural log of mel magnitudes, float32 [4 T, 80]; column j is centred on 10 j + 5 ms.

    Window 640, hop 160 (Niu and Mak 2023, section 4.3, there of the metric's frontend; for the
    training inferred), 240 samples mirrored at each end, so that a frame has 4 columns exactly. 80
    bands of 55 to 7600 Hz and the floor 1e-5: inferred, from the code of VCA-GAN and Lip2Wav, as
    are Slaney's bank and the periodic Hann window.
    """
    signal = _unit(samples)
    padded = np.pad(signal, (SLTS_WINDOW - SLTS_HOP) // 2, mode="reflect")
    return _log(np.abs(stft(padded, SLTS_WINDOW, SLTS_HOP)) @ _slts_bank().T)


def slts_sound(log_mel: np.ndarray, num_iterations: int = NUM_ITERATIONS) -> np.ndarray:
    """Griffin-Lim of `slts_mel`'s columns [C, 80]: float32 [160 C], on the columns' clock.

    For scores and ears before there is a vocoder. Raises ValueError as `sound_of_log_mel`.
    """
    return sound_of_log_mel(log_mel, _slts_bank(), num_iterations)


def _slts_bank() -> np.ndarray:
    return mel_slaney(SLTS_BANDS, SLTS_WINDOW, SLTS_LOW_HZ, SLTS_HIGH_HZ)


def lip2speech_mel(samples: np.ndarray) -> np.ndarray:
    """Natural log of mel power, float32 [N // 256 + 1, 80]; column j is centred on 16 j ms.

    Window 1024, hop 256, HTK's bank of 80 bands to 8 kHz, mirrored ends, floor 1e-5: the published
    code's torchaudio settings (hparams.py, spectograms.py); the paper names none.
    """
    padded = np.pad(_unit(samples), LIP2SPEECH_WINDOW // 2, mode="reflect")
    power = np.abs(stft(padded, LIP2SPEECH_WINDOW, LIP2SPEECH_HOP)) ** 2
    return _log(power @ mel_htk(LIP2SPEECH_BANDS, LIP2SPEECH_WINDOW).T)


def lip2speech_sound(
    log_mel: np.ndarray, num_frames: int, num_iterations: int = NUM_ITERATIONS
) -> np.ndarray:
    """Griffin-Lim of `lip2speech_mel`'s columns [C, 80] for so many frames: float32 [640 T], on the
    columns' clock. Columns that are too few give silence at the end, more are left out. Raises
    ValueError as `sound_of_log_power`."""
    bank = mel_htk(LIP2SPEECH_BANDS, LIP2SPEECH_WINDOW)
    columns = log_mel[: lip2speech_columns(num_frames)]
    made = sound_of_log_power(columns, bank, LIP2SPEECH_WINDOW, LIP2SPEECH_HOP, num_iterations)
    return np.pad(made, (0, SAMPLES_PER_FRAME * num_frames - len(made)))


def lip2speech_columns(num_frames: int) -> int:
    """Columns that the sound of so many frames has."""
    return SAMPLES_PER_FRAME * num_frames // LIP2SPEECH_HOP + 1


def syncnet_mfcc(samples: np.ndarray) -> np.ndarray:
    """Cepstra of `stages.networks.mfcc`, float32 [4 T, 13]; column j begins at 10 j ms.

    Frame f of SyncNet sees columns 4 f to 4 f + 19 (`syncnet_windows`). The columns are `mfcc`'s,
    and one more: the last begins 10 ms before the end and is filled up with zeros like the ones
    before it (inferred), so that a frame has 4 columns exactly.
    """
    pcm = _pcm(samples)
    return mfcc(pcm, COLUMNS_PER_FRAME * (len(pcm) // SAMPLES_PER_FRAME))


def syncnet_windows(columns: np.ndarray) -> np.ndarray:
    """Cepstra [4 T, 13] -> what each of the frames 0 to T - 5 hears, float32 [T - 4, 13, 20].

    Chung and Zisserman 2016, section 2.1: 0.2 s, 20 columns of 13, beside 5 frames. A view; raises
    ValueError under 20 columns.
    """
    slid = np.lib.stride_tricks.sliding_window_view(columns, SYNCNET_COLUMNS, axis=0)
    return slid[::COLUMNS_PER_FRAME]


def speech2vid_mfcc(samples: np.ndarray) -> np.ndarray:
    """0.35 s of cepstra around each frame, float32 [T, 12, 35].

    Column c of frame f begins at 40 f + 10 (c - 17) ms: the frame is the middle one of its window
    (Chung et al. 2017, section 3.2), whose start is inferred: round(100 t) - 17. Beyond the ends
    is silence. Windows of 25 ms (Hamming) every 10 ms, pre-emphasis .97, magnitudes over 512, 40
    triangles of 300 to 3700 Hz, int16's scale, lifter 22, the last 12 of 13: the demo's mfcc.m;
    its logarithm has no floor, 1e-10 is inferred.
    """
    num_frames = len(_unit(samples)) // SAMPLES_PER_FRAME
    return speech2vid_at(samples, np.arange(num_frames) * SAMPLES_PER_FRAME / SAMPLE_RATE)


def speech2vid_at(samples: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """The same around any moments [n] of the sound, in seconds: float32 [n, 12, 35]. The window
    lies at whole columns, so within 5 ms of where it should; silence is heard outside the sound.
    """
    begin = np.rint(100 * np.asarray(times_s, np.float64)).astype(int) - _SPEECH2VID_BEFORE
    if not len(begin):
        return np.zeros((0, SPEECH2VID_CEPSTRA, SPEECH2VID_COLUMNS), np.float32)
    signal = _unit(samples) * FULL_SCALE
    first, last = int(begin.min()), int(begin.max()) + SPEECH2VID_COLUMNS - 1
    heard = lfilter([1.0, -PRE_EMPHASIS], [1.0], np.append(signal, 0.0))
    whole = np.zeros((last - first) * STEP + MFCC_WINDOW)
    low, high = max(0, first * STEP), min(len(heard), last * STEP + MFCC_WINDOW)
    if low < high:
        whole[low - first * STEP : high - first * STEP] = heard[low:high]
    slid = np.lib.stride_tricks.sliding_window_view(
        _speech2vid_columns(whole), SPEECH2VID_COLUMNS, axis=0
    )
    return np.ascontiguousarray(slid[begin - first], np.float32)


def _speech2vid_columns(emphasised: np.ndarray) -> np.ndarray:
    """Cepstra of every window of [N], float64 [C, 12]."""
    taken = windows(emphasised, MFCC_WINDOW, STEP) * np.hamming(MFCC_WINDOW)
    bank = mel_htk(SPEECH2VID_BANDS, 512, SPEECH2VID_LOW_HZ, SPEECH2VID_HIGH_HZ)
    bands = np.abs(np.fft.rfft(taken, 512)) @ bank.T
    cepstra = dct(np.log(np.maximum(bands, SPEECH2VID_FLOOR)), type=2, norm="ortho", axis=1)
    order = np.arange(1, SPEECH2VID_CEPSTRA + 1)
    return cepstra[:, order] * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER))


def vca_gan_mel(samples: np.ndarray) -> np.ndarray:
    """Mel of the network's own scale, float32 [4 T, 80]; column j is centred on 10 j ms.

    80 bands of 55 to 7500 Hz of `vca_gan_magnitudes`, m = ln(max(., 1e-5)) brought to
    (m - ln 1e-5) / (-ln 1e-5 / 2) - 1 (the published code; Slaney's bank as in its Tacotron STFT).
    """
    return _vca_gan_scaled(vca_gan_magnitudes(samples))


def vca_gan_spectra(samples: np.ndarray) -> np.ndarray:
    """`vca_gan_mel` and its magnitudes side by side, float32 [4 T, 80 + 321]."""
    magnitudes = vca_gan_magnitudes(samples)
    return np.concatenate([_vca_gan_scaled(magnitudes), magnitudes.astype(np.float32)], 1)


def vca_gan_magnitudes(samples: np.ndarray) -> np.ndarray:
    """Magnitudes float64 [4 T, 321]; column j is centred on 10 j ms.

    Butterworth high-pass of order 7 at 55 Hz, forth and back; peak to 0.9; pre-emphasis .97; then
    window 640, hop 160, mirrored ends, cut to 4 columns a frame (the published code, with its
    periodic Hann window). Peak and filter are of the whole clip.
    """
    signal = sosfiltfilt(_high_pass(), _unit(samples))
    loudest = np.abs(signal).max()
    signal = signal / loudest * VCA_GAN_PEAK if loudest > 0 else signal
    emphasised = np.clip(lfilter([1.0, -PRE_EMPHASIS], [1.0], signal), -1, 1)
    padded = np.pad(emphasised, SLTS_WINDOW // 2, mode="reflect")
    whole = COLUMNS_PER_FRAME * (len(samples) // SAMPLES_PER_FRAME)
    return np.abs(stft(padded, SLTS_WINDOW, SLTS_HOP))[:whole]


def _vca_gan_scaled(magnitudes: np.ndarray) -> np.ndarray:
    bank = mel_slaney(SLTS_BANDS, SLTS_WINDOW, SLTS_LOW_HZ, VCA_GAN_HIGH_HZ)
    floor = np.float32(np.log(LOG_FLOOR))
    return (_log(magnitudes @ bank.T) - floor) / (-floor / 2) - 1


def vca_gan_sound(magnitudes: np.ndarray, num_iterations: int = NUM_ITERATIONS) -> np.ndarray:
    """Griffin-Lim of `vca_gan_magnitudes` [C, 321], where below 0 taken as 0, and the emphasis
    taken back: float32 [160 C], on the columns' clock. Raises ValueError as
    `sound_of_magnitudes`."""
    held = np.maximum(np.asarray(magnitudes, np.float64), 0.0)
    sound = sound_of_magnitudes(held, num_iterations, first_centre=0)
    return lfilter([1.0], [1.0, -PRE_EMPHASIS], sound).astype(np.float32)


def ephrat_spectra(samples: np.ndarray) -> np.ndarray:
    """Log spectra in 0..1, float32 [4 T, 80 + 321]: mel, then linear; column j is centred on
    10 j + 5 ms.

    Windows of 40 ms every 10 ms, "log magnitude ... peak normalized to be between 0 and 1" by the
    code of NSynth (Ephrat et al. 2017, section 5): decibels of the power, not below 1e-13, under
    the clip's own loudest bin, of which 120 are kept; each of the two by its own. Slaney's bank of
    0 to 8 kHz on magnitudes is inferred, as are the ends, mirrored so that a frame has four
    columns.
    """
    magnitudes = ephrat_magnitudes(samples)
    mel = magnitudes @ ephrat_bank().T
    return np.concatenate([_peak_normalised(mel), _peak_normalised(magnitudes)], 1)


def ephrat_magnitudes(samples: np.ndarray) -> np.ndarray:
    """Magnitudes float64 [4 T, 321] at the columns of `ephrat_spectra`."""
    padded = np.pad(_unit(samples), (SLTS_WINDOW - SLTS_HOP) // 2, mode="reflect")
    return np.abs(stft(padded, SLTS_WINDOW, SLTS_HOP))


def ephrat_bank() -> np.ndarray:
    """Its mel bank, float64 [80, 321]."""
    return mel_slaney(EPHRAT_BANDS, SLTS_WINDOW)


def ephrat_sound(linear: np.ndarray, num_iterations: int = NUM_ITERATIONS) -> np.ndarray:
    """Griffin-Lim of linear columns [C, 321] in 0..1: float32 [160 C], on the columns' clock. The
    clip's own peak is not known: the loudest bin has magnitude 1. Raises ValueError as
    `sound_of_magnitudes`."""
    return sound_of_magnitudes(ephrat_unscaled(linear), num_iterations)


def ephrat_unscaled(columns: np.ndarray) -> np.ndarray:
    """Values in 0..1 -> magnitudes float64 below 1; others are brought there first."""
    held = np.clip(np.asarray(columns, np.float64), 0.0, 1.0)
    return np.asarray(10 ** ((held - 1) * EPHRAT_RANGE_DB / 20))


def _peak_normalised(magnitudes: np.ndarray) -> np.ndarray:
    power = np.maximum(np.square(magnitudes), EPHRAT_FLOOR)
    if power.max() == EPHRAT_FLOOR:  # silence has no peak
        return np.zeros(power.shape, np.float32)
    decibels = 10 * np.log10(power / power.max())
    return (np.maximum(decibels, -EPHRAT_RANGE_DB) / EPHRAT_RANGE_DB + 1).astype(np.float32)


def waveform(samples: np.ndarray) -> np.ndarray:
    """The sound itself, [N], as it is."""
    _unit(samples, least_frames=1)
    return samples


# -- and of a window of frames -----------------------------------------------------------------


@dataclass(frozen=True)
class SoundFeature:
    """A feature, and where on the clock its columns are."""

    make: Callable[[np.ndarray], np.ndarray]
    step_ms: float
    """From one column to the next."""
    first_centre_ms: float
    """What the first column is centred on."""
    rows_per_frame: int | None
    """None: as many as the window's own sound gives."""
    context_frames: int | None
    """Frames on either side that a window's columns can hear of; None: the whole clip."""

    def centre_ms(self, column: int) -> float:
        """The moment that a column stands for, from the beginning of the sound."""
        return self.first_centre_ms + column * self.step_ms

    def of_window(self, sound: np.ndarray, first_frame: int, num_frames: int) -> np.ndarray:
        """The feature of frames [first_frame, first_frame + num_frames) of a clip's sound.

        The same as the rows that the whole clip has there; where `rows_per_frame` is None, the
        feature of the window's sound alone. Raises ValueError for frames that are not there.
        """
        there = len(sound) // SAMPLES_PER_FRAME
        end = first_frame + num_frames
        if not 0 <= first_frame < end <= there:
            raise ValueError(f"frames {first_frame} to {end} of a sound of {there} frames")
        context = there if self.context_frames is None else self.context_frames
        low, high = max(first_frame - context, 0), min(end + context, there)
        made = self.make(sound[low * SAMPLES_PER_FRAME : high * SAMPLES_PER_FRAME])
        if self.rows_per_frame is None:
            return made
        rows = self.rows_per_frame
        return made[(first_frame - low) * rows : (end - low) * rows]


_MIDDLE_MS = 1000 * MFCC_WINDOW / SAMPLE_RATE / 2
FEATURES = {
    "slts": SoundFeature(slts_mel, 10.0, 5.0, COLUMNS_PER_FRAME, 1),
    "lip2speech": SoundFeature(lip2speech_mel, 16.0, 0.0, None, 0),
    "syncnet": SoundFeature(syncnet_mfcc, 10.0, _MIDDLE_MS, COLUMNS_PER_FRAME, 1),
    "speech2vid": SoundFeature(speech2vid_mfcc, 40.0, _MIDDLE_MS, 1, 5),
    "vca_gan": SoundFeature(vca_gan_mel, 10.0, 0.0, COLUMNS_PER_FRAME, None),
    "vca_gan_spectra": SoundFeature(vca_gan_spectra, 10.0, 0.0, COLUMNS_PER_FRAME, None),
    "ephrat": SoundFeature(ephrat_spectra, 10.0, 5.0, COLUMNS_PER_FRAME, None),
    "auditory": SoundFeature(auditory_spectrum, 10.0, 5.0, COLUMNS_PER_FRAME, 1),
    "line_spectrum": SoundFeature(line_spectrum, 40.0, 20.0, 1, None),
    "waveform": SoundFeature(waveform, 1000 / SAMPLE_RATE, 0.0, SAMPLES_PER_FRAME, 0),
}


# -- scales ------------------------------------------------------------------------------------


def _unit(samples: np.ndarray, least_frames: int = 2) -> np.ndarray:
    """float64 [N] in +-1. Raises TypeError, and ValueError for less than two frames: what is
    mirrored at the ends must be there."""
    if samples.ndim != 1 or len(samples) < least_frames * SAMPLES_PER_FRAME:
        raise ValueError(
            f"one channel of {least_frames} frames or more is needed, not {samples.shape}"
        )
    if samples.dtype == np.int16:
        return samples / FULL_SCALE
    if samples.dtype in (np.float32, np.float64):
        return samples.astype(np.float64)
    raise TypeError(f"samples must be int16, or float in +-1, not {samples.dtype}")


def _pcm(samples: np.ndarray) -> np.ndarray:
    """int16 [N]."""
    signal = _unit(samples)
    if samples.dtype == np.int16:
        return samples
    return np.clip(np.rint(signal * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _log(bands: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(bands, LOG_FLOOR)).astype(np.float32)


@cache
def _high_pass() -> np.ndarray:
    """In second-order sections: as one polynomial, order 7 at 55 Hz has lost its digits."""
    return butter(VCA_GAN_ORDER, SLTS_LOW_HZ, "highpass", fs=SAMPLE_RATE, output="sos")
