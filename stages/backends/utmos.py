"""UTMOS: how natural listeners would find speech (Saeki et al., Interspeech 2022, the strong
learner)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from stages.backends.devices import load_state, torch_device
from stages.backends.weights import weights

LEAST_SAMPLES = 1600
"""A tenth of a second: of less the first layers leave nothing."""


class Utmos:
    """The network, run by torch."""

    version: ClassVar[str] = "1"
    weights_names: ClassVar[tuple[str, ...]] = ("utmos22_strong_step7459_v1.pt",)

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def setup(self) -> None:
        from stages.networks.utmos import UtmosNetwork

        self._device = torch_device(self.device)
        self._network = load_state(UtmosNetwork(), weights(self.weights_names[0]), self._device)

    def opinion(self, sound: np.ndarray) -> dict[str, float | None]:
        """int16 [N] at 16 kHz -> the column `utmos` of `Opinion`."""
        import torch

        if len(sound) < LEAST_SAMPLES:
            return {"utmos": None}
        heard = torch.from_numpy(sound.astype(np.float32) / 32768).to(self._device)
        with torch.inference_mode():
            score = self._network(heard[None])
        return {"utmos": round(float(score[0]), 3)}
