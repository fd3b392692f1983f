"""Mel cepstral distortion in the definition that gives the papers' figures, and in dB.

Lip-to-speech papers print values of 22 to 38. They are no decibels: they are the plain
Euclidean distance of 13 MFCCs whose first is the log energy. It follows the noise floor down
to digital silence, so signals are never gated or filled with zeros before it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.fft import dct

from evaluation.metrics.errors import TooShort, Unavailable
from evaluation.metrics.signals import SAMPLE_RATE, pair

WIN_LENGTH, HOP_LENGTH, N_FFT = 400, 160, 512
N_MELS, N_CEPSTRA = 26, 13
PREEMPHASIS, LIFTER = 0.97, 22
DB_PER_NEPER = 10 / np.log(10) * np.sqrt(2)


def mcd(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Mean over frames of the Euclidean distance of `mfcc`; no time warping. Niu and Mak,
    Table 3. Both float [N] at 16 kHz. Raises NoScore."""
    reference, hypothesis = pair(reference, hypothesis)
    return float(np.linalg.norm(mfcc(reference) - mfcc(hypothesis), axis=1).mean())


def mfcc(signal: np.ndarray) -> np.ndarray:
    """13 MFCCs a frame, float64 [T, 13], T = 1 + ceil((N - 400) / 160).

    25 ms rectangular windows every 10 ms, 26 triangles on the mel scale over a 512-point power
    spectrum, pre-emphasis 0.97, natural logarithm, orthonormal DCT, sine lifter of 22, and the
    log energy of the frame in place of the zeroth.
    """
    signal = np.asarray(signal, np.float64)
    if len(signal) < WIN_LENGTH:
        raise TooShort(f"{len(signal)} samples are less than one window of {WIN_LENGTH}")
    signal = np.append(signal[0], signal[1:] - PREEMPHASIS * signal[:-1])
    num_frames = 1 + -(-(len(signal) - WIN_LENGTH) // HOP_LENGTH)
    padded = np.pad(signal, (0, (num_frames - 1) * HOP_LENGTH + WIN_LENGTH - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WIN_LENGTH)[::HOP_LENGTH]
    power = np.abs(np.fft.rfft(frames, N_FFT)) ** 2 / N_FFT
    tiny = np.finfo(np.float64).eps  # stands for an exact zero only, as in the papers' tool
    mel = power @ _triangles().T
    cepstra = dct(np.log(np.where(mel == 0, tiny, mel)), type=2, norm="ortho")[:, :N_CEPSTRA]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(N_CEPSTRA) / LIFTER)
    energy = power.sum(axis=1)
    cepstra[:, 0] = np.log(np.where(energy == 0, tiny, energy))
    return cepstra


@cache
def _triangles() -> np.ndarray:
    """Mel triangles from 0 to 8 kHz whose corners are whole bins, [26, 257]."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, N_MELS + 2) / 2595) - 1)
    corners = np.floor((N_FFT + 1) * hertz / SAMPLE_RATE)
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    bins = np.arange(N_FFT // 2 + 1)
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.where((bins >= low) & (bins < centre), rising,
                    np.where((bins >= centre) & (bins < high), falling, 0.0))


def mcd_db(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Mel cepstral distortion in dB as in the literature on speech synthesis: 13 mel cepstra
    of the WORLD envelope (the zeroth left out) every 5 ms, 10 sqrt(2) / ln 10, no warping.

    Not comparable with `mcd`. Needs pyworld (extra `native-metrics`). Raises NoScore.
    """
    try:
        import pyworld
    except ImportError:
        raise Unavailable("pyworld is not installed (extra `native-metrics`)") from None
    envelopes = []
    for signal in pair(reference, hypothesis):
        pitch, times = pyworld.harvest(signal, SAMPLE_RATE)
        envelopes.append(pyworld.cheaptrick(signal, pitch, times, SAMPLE_RATE))
    return envelope_distance_db(*envelopes)


def envelope_distance_db(one: np.ndarray, other: np.ndarray) -> float:
    """`mcd_db` of two WORLD envelopes, power, float64 [T, F]: 13 cepstra of a cosine series in
    mel frequency, so without truncation the deviation of the two from each other in dB."""
    import pyworld

    # WORLD's cosines have unit energy: its coefficients of a power envelope are sqrt(2) times
    # the mel cepstra of Kominek and Black's formula.
    cepstra = [pyworld.code_spectral_envelope(envelope, SAMPLE_RATE, N_CEPSTRA + 1)[:, 1:]
               / np.sqrt(2) for envelope in (one, other)]
    return float(DB_PER_NEPER * np.linalg.norm(cepstra[0] - cepstra[1], axis=1).mean())
