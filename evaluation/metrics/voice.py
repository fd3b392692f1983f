"""Whether the voice is the same: cosine of GE2E embeddings (Wan et al. 2018), by resemblyzer."""

from __future__ import annotations

import hashlib
import warnings
from functools import cache
from pathlib import Path

import numpy as np

from evaluation.metrics.errors import TooShort, Unavailable
from evaluation.metrics.signals import check_sound, within_full_scale

MIN_SPEECH_S = 0.5
RATE = 16000


def similarity(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """Cosine of the two voices' embeddings, -1 to 1; same words or not, any lengths.

    Both float [N] at 16 kHz; silence is cut by webrtcvad first. Raises NoScore.
    """
    return float(np.dot(embed(reference, "reference"), embed(hypothesis, "hypothesis")))


def embed(sound: np.ndarray, name: str = "sound") -> np.ndarray:
    """Unit-length GE2E embedding, float32 [256]. Raises NoScore."""
    speech = speech_of(sound, name)
    if len(speech) < MIN_SPEECH_S * RATE:
        raise TooShort(
            f"{len(speech) / RATE:.2f} s of the {name} are speech, {MIN_SPEECH_S} s are needed"
        )
    return _encoder().embed_utterance(speech)


def speech_of(sound: np.ndarray, name: str = "sound") -> np.ndarray:
    """Float [N] at 16 kHz -> float32 [M], brought up to -30 dBFS, long silences cut by webrtcvad;
    what GE2E was trained on. Raises NoScore."""
    # It counts in 16-bit integers inside, where what is beyond full scale would wrap around.
    sound = within_full_scale(check_sound(sound, name))
    return _package().preprocess_wav(sound.astype(np.float32), source_sr=RATE)


@cache
def _encoder():
    """Weights come inside the package and are read as tensors only."""
    return _package().VoiceEncoder("cpu", verbose=False)


def _package():
    """Raises Unavailable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import resemblyzer
        except ImportError as error:
            raise Unavailable(f"resemblyzer is not installed ({error})") from None
        return resemblyzer


def weights_path() -> Path:
    """The weights inside the package. Raises ImportError where it is not installed."""
    import importlib.util

    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or spec.origin is None:  # a folder of that name is no package
        raise ImportError("resemblyzer is not installed")
    return Path(spec.origin).with_name("pretrained.pt")


def model_hash() -> str:
    """First 12 digits of the SHA-256 of the weights. Raises ImportError or OSError."""
    return hashlib.sha256(weights_path().read_bytes()).hexdigest()[:12]
