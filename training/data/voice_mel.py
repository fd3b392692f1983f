"""What GE2E's speaker encoder hears: speech of one loudness, without long silences, as power.

It was trained on librosa's mel: Slaney's bank on the power of centred windows, not on its
logarithm. Lip2Speech's published code feeds the same weights HTK's bank by torchaudio, which they
have never heard; this does not.
"""

from __future__ import annotations

import numpy as np

from evaluation.metrics.errors import NoScore
from evaluation.metrics.voice import MIN_SPEECH_S, RATE, speech_of
from manifests.spectra import mel_slaney, stft

WINDOW, HOP, BANDS = 400, 160, 40


def voice_mel(sound: np.ndarray) -> np.ndarray:
    """float [N] in +-1 -> power float32 [1 + N // 160, 40], zeros around the ends."""
    padded = np.pad(np.asarray(sound, np.float64), WINDOW // 2)
    power = np.abs(stft(padded, WINDOW, HOP)) ** 2
    return (power @ mel_slaney(BANDS, WINDOW).T).astype(np.float32)


def mel_of_speech(sound: np.ndarray) -> np.ndarray:
    """As `voice_mel`, of what is speech in float [N]; of all of it where that is under .5 s."""
    try:
        speech = speech_of(sound)
    except NoScore:
        speech = np.zeros(0, np.float32)
    return voice_mel(speech if len(speech) >= MIN_SPEECH_S * RATE else sound)
