"""Lip2AudSpec speaking: codes of each 200 ms, their columns, and the sound that has them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from training.data.auditory import auditory_sound
from training.data.sound_features import COLUMNS_PER_FRAME
from training.data.views import View
from training.harness.system import Facts
from training.models.lip2audspec.config import (
    CONTEXT_FRAMES,
    WINDOW_FRAMES,
    Lip2AudSpecConfig,
)
from training.models.lip2audspec.network import Lip2AudSpec

PIECE_FRAMES = 100
"""Pictures that are looked at together, for memory."""


class Lip2AudSpecSpeaker:
    """A `training.harness.speaker.Speaker`. It has one voice, the mix of its training speakers."""

    voices: tuple[str, ...] = ()

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        config: Lip2AudSpecConfig,
        facts: Facts,
        device: str = "cpu",
    ) -> None:
        """Raises RuntimeError where the weights are of another shape."""
        self.view: View = config.view
        self._device = torch.device(device)
        self._network = Lip2AudSpec(config.shape)
        self._network.load_state_dict(dict(weights))
        self._network.eval().to(self._device)

    @torch.inference_mode()
    def speak(self, pictures: np.ndarray, speaker: str | None = None, seed: int = 0) -> np.ndarray:
        """As the protocol says; nothing is drawn. The first frame and the last are held where
        a window asks for more. Sound above +-1 is brought down as a whole."""
        if speaker is not None:
            raise ValueError(f"the model knows no speaker {speaker}: it has one voice")
        length = len(pictures)
        missing = -length % WINDOW_FRAMES
        held = np.pad(pictures, ((CONTEXT_FRAMES, missing), (0, 0), (0, 0)), mode="edge")
        told = []
        for start in range(0, length, PIECE_FRAMES):
            seen = torch.from_numpy(held[None, start : start + PIECE_FRAMES + CONTEXT_FRAMES])
            told.append(self._network.columns(seen.to(self._device))[0].float().cpu().numpy())
        sound = auditory_sound(np.concatenate(told)[: COLUMNS_PER_FRAME * length])
        return sound / max(1.0, float(np.abs(sound).max()))
