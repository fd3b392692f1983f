"""The waveform GAN speaking: pieces of pictures, one memory over the whole clip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from training.data.views import View
from training.harness.system import Facts
from training.models.waveform_gan.config import GanConfig
from training.models.waveform_gan.network import SIDE, Generator, in_units
from training.models.waveform_gan.system import at_score_rate

PIECE_FRAMES = 250
"""Pictures that are looked at together, for memory; the GRU goes on from piece to piece."""


class GanSpeaker:
    """A `training.harness.speaker.Speaker`. It has one voice, the mix of its training speakers."""

    voices: tuple[str, ...] = ()

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        config: GanConfig,
        facts: Facts,
        device: str = "cpu",
    ) -> None:
        """Raises RuntimeError where the weights are of another shape."""
        self.view: View = config.view.view(config.shape)
        self._rate = config.shape.sample_rate
        self._device = torch.device(device)
        self._network = Generator(config.shape)
        self._network.load_state_dict(dict(weights))
        self._network.eval().to(self._device)

    @torch.inference_mode()
    def speak(self, pictures: np.ndarray, speaker: str | None = None, seed: int = 0) -> np.ndarray:
        """As the protocol says; nothing is drawn, so the seed changes nothing."""
        if speaker is not None:
            raise ValueError(f"the model knows no speaker {speaker}: it has one voice")
        padded = np.concatenate(
            [pictures[:1].repeat(SIDE, 0), pictures, pictures[-1:].repeat(SIDE, 0)]
        )
        memory: Tensor | None = None
        pieces = []
        for start in range(0, len(pictures), PIECE_FRAMES):
            end = min(start + PIECE_FRAMES, len(pictures))
            seen = torch.from_numpy(padded[None, start : end + 2 * SIDE]).to(self._device)
            features = self._network.encoder.inside(in_units(seen)).transpose(1, 2)
            content, memory = self._network.memory(features, memory)
            pieces.append(self._network.decoder(content.transpose(1, 2))[0].float().cpu().numpy())
        return at_score_rate(np.concatenate(pieces), self._rate)
