"""DNSMOS: what listeners would say of noisy speech (Reddy et al., ICASSP 2021 and 2022).

Two networks of the same makers: P.835 rates speech, background and the whole, P.808 the whole. As
their own script has it, sound under 9.01 s is repeated, longer sound is heard in windows that begin
a second apart, whose means count; P.835's outputs go through the makers' polynomials.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from manifests.clock import SAMPLE_RATE
from manifests.spectra import hann, mel_slaney, windows
from manifests.weights.cache import unusable
from stages.backends.devices import onnx_session
from stages.backends.weights import weights
from stages.base import SetupError

HEARD = int(9.01 * SAMPLE_RATE)
"""Samples that the networks hear at a time."""
NUM_FFT, HOP, NUM_MELS, CUT = 321, 160, 120, 160
TOP_DB = 80.0
POLYNOMIALS = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovr": (-0.06766283, 1.11546468, 0.04602535),
}
"""From the network's outputs, in this order, to opinions: of x squared, x and 1."""
COLUMNS = (*POLYNOMIALS, "dnsmos_p808")


class Dnsmos:
    """Both networks, run by onnxruntime."""

    version: ClassVar[str] = "1"
    weights_names: ClassVar[tuple[str, ...]] = ("dnsmos_sig_bak_ovr.onnx", "dnsmos_p808.onnx")

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def setup(self) -> None:
        self._p835, self._p808 = (self._open(name) for name in self.weights_names)

    def _open(self, name: str) -> Any:
        path = weights(name)
        try:
            return onnx_session(path, self.device)
        except SetupError:
            raise
        except Exception as error:  # onnxruntime has no common base for what a bad file raises
            raise SetupError(str(unusable(path, "onnxruntime cannot open it"))) from error

    def opinion(self, sound: np.ndarray) -> dict[str, float | None]:
        """int16 [N] at 16 kHz -> columns of `Opinion`; None where there is no sound."""
        if not len(sound):
            return dict.fromkeys(COLUMNS)
        heard = sound.astype(np.float32) / 32768
        while len(heard) < HEARD:
            heard = np.concatenate([heard, heard])
        rows = [
            self._window(heard[at : at + HEARD])
            for at in range(0, len(heard) - HEARD + 1, SAMPLE_RATE)
        ]
        mean = np.mean(rows, axis=0)
        return {name: round(float(v), 3) for name, v in zip(COLUMNS, mean, strict=True)}

    def _window(self, heard: np.ndarray) -> list[float]:
        (raw,) = self._p835.run(None, {"input_1": heard[None]})[0]
        rated = [float(np.polyval(p, x)) for p, x in zip(POLYNOMIALS.values(), raw, strict=True)]
        levels = log_mel(heard[:-CUT])
        return [*rated, float(self._p808.run(None, {"input_1": levels[None]})[0].reshape(-1)[0])]


def log_mel(heard: np.ndarray) -> np.ndarray:
    """float32 [N] -> float32 [1 + N // 160, 120]: decibels under the loudest, 80 of them, brought
    to -1 to 1."""
    padded = np.pad(heard.astype(np.float64), NUM_FFT // 2)
    seen = np.fft.rfft(windows(padded, NUM_FFT, HOP) * hann(NUM_FFT), axis=1)
    power = (seen.real**2 + seen.imag**2) @ mel_slaney(NUM_MELS, NUM_FFT).T
    level = 10 * np.log10(np.maximum(power, 1e-10))
    level = np.maximum(level, level.max() - TOP_DB) - level.max()
    return ((level + 40) / 40).astype(np.float32)
