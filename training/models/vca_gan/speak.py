"""VCA-GAN speaking: windows of 3 s, their magnitudes cross-faded, Griffin-Lim over the whole."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from training.data.sound_features import COLUMNS_PER_FRAME, vca_gan_sound
from training.data.views import View
from training.harness.speaker import fades, windows_over
from training.harness.system import Facts
from training.models.vca_gan.config import VcaGanConfig
from training.models.vca_gan.network import BINS, ROWS, VcaGan

WINDOW_FRAMES, OVERLAP_FRAMES = 75, 25
"""The code's longest clip; attention grows with the square of it."""


class VcaGanSpeaker:
    """A `training.harness.speaker.Speaker`. It has one voice, the mix of its training speakers."""

    voices: tuple[str, ...] = ()

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        config: VcaGanConfig,
        facts: Facts,
        device: str = "cpu",
    ) -> None:
        """Raises RuntimeError where the weights are of another shape."""
        self.view: View = config.view.view(config.shape)
        self._device = torch.device(device)
        self._network = VcaGan(config.shape)
        self._network.load_state_dict(dict(weights))
        self._network.eval().to(self._device)

    @torch.inference_mode()
    def speak(self, pictures: np.ndarray, speaker: str | None = None, seed: int = 0) -> np.ndarray:
        """As the protocol says. Sound above +-1 is brought down as a whole."""
        if speaker is not None:
            raise ValueError(f"the model knows no speaker {speaker}: it has one voice")
        length = len(pictures)
        drawn = torch.Generator().manual_seed(seed)
        noise = torch.randn((1, self._network.noise_channels, ROWS, length), generator=drawn)
        total = np.zeros((COLUMNS_PER_FRAME * length, BINS), np.float32)
        weight = np.zeros((len(total), 1), np.float32)
        spans = list(windows_over(length, WINDOW_FRAMES, OVERLAP_FRAMES))
        for i, (start, end) in enumerate(spans):
            seen = torch.from_numpy(np.ascontiguousarray(pictures[None, start:end]))
            magnitudes, _ = self._network(
                seen.to(self._device), noise[..., start:end].to(self._device)
            )
            before = spans[i - 1][1] - start if i else 0
            after = end - spans[i + 1][0] if i + 1 < len(spans) else 0
            sizes = (COLUMNS_PER_FRAME * n for n in (end - start, before, after))
            fade = fades(*sizes)[:, None]
            columns = slice(COLUMNS_PER_FRAME * start, COLUMNS_PER_FRAME * end)
            total[columns] += magnitudes[0].float().cpu().numpy().T * fade
            weight[columns] += fade
        sound = vca_gan_sound(total / weight)
        return sound / max(1.0, float(np.abs(sound).max()))
