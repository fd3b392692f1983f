"""Mel cepstral distortion in the definition that gives the papers' figures, and in dB.

Lip-to-speech papers print values of 22 to 38. They are no decibels: they are the plain
Euclidean distance of 13 MFCCs whose first is the log energy. It follows the noise floor down
to digital silence, so signals are never gated or filled with zeros before it.
"""

from __future__ import annotations

import numpy as np

from evaluation.metrics.errors import TooShort, Unavailable
from evaluation.metrics.signals import SAMPLE_RATE, pair
from manifests.spectra import windows
from stages.networks import mfcc as net

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
    if len(signal) < net.WINDOW:
        raise TooShort(f"{len(signal)} samples are less than one window of {net.WINDOW}")
    signal = np.append(signal[0], signal[1:] - net.PRE_EMPHASIS * signal[:-1])
    num_frames = 1 + -(-(len(signal) - net.WINDOW) // net.STEP)
    padded = np.pad(signal, (0, (num_frames - 1) * net.STEP + net.WINDOW - len(signal)))
    spectrum = np.fft.rfft(windows(padded, net.WINDOW, net.STEP), net.NUM_FFT)
    return net.cepstra(np.abs(spectrum) ** 2 / net.NUM_FFT)


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
    size = net.NUM_CEPSTRA + 1
    cepstra = [
        pyworld.code_spectral_envelope(envelope, SAMPLE_RATE, size)[:, 1:] / np.sqrt(2)
        for envelope in (one, other)
    ]
    return float(DB_PER_NEPER * np.linalg.norm(cepstra[0] - cepstra[1], axis=1).mean())
