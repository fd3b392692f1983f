"""SLTS speaking: windows of the length it was trained on, their mels cross-faded, one vocoder pass.

The decoder's Mhat is at the picture's time; the correction (3.3) is training's alone, where the
data's sound is off.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from training.data.sound_features import COLUMNS_PER_FRAME
from training.data.views import View
from training.harness.speaker import fades, windows_over
from training.harness.system import Facts
from training.layers.univnet import HOP
from training.models.slts.config import SltsConfig
from training.models.slts.network import Slts

OVERLAP = 1 / 3
"""Share of a window that the next one sees too: 1 s of 3."""
PIECE_COLUMNS, CONTEXT_COLUMNS = 1000, 48
"""The vocoder makes 10 s at a time, for its memory grows with the length; it hears less than .4 s
to either side, so that pieces are what one pass over the whole gives."""


class SltsSpeaker:
    """A `training.harness.speaker.Speaker`. Legend: T frames, M bands, L = 4 T columns."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        config: SltsConfig,
        facts: Facts,
        device: str = "cpu",
    ) -> None:
        """Raises RuntimeError where the weights are of another shape, ValueError where the
        vocoder was never trained."""
        if config.vocoder_clips == 0:
            raise ValueError(
                "its vocoder was not trained (vocoder_clips=0), so that it has no sound; train "
                "with another number"
            )
        self.voices = tuple(facts["speakers"])
        self.view: View = config.view.view(config.shape)
        self._frames = config.view.num_frames
        self._device = torch.device(device)
        self._network = Slts(config.shape, max(1, len(self.voices)))
        self._network.load_state_dict(dict(weights))
        self._network.vocoder.remove_weight_norm()
        self._network.eval().to(self._device)

    @torch.inference_mode()
    def speak(self, pictures: np.ndarray, speaker: str | None = None, seed: int = 0) -> np.ndarray:
        """As the protocol says."""
        voice = None if speaker is None else self._voice(speaker)
        return self._vocode(self._mel(pictures, voice), seed).numpy()

    def _voice(self, speaker: str) -> Tensor:
        if speaker not in self.voices:
            raise ValueError(f"the model knows no speaker {speaker}")
        return torch.tensor([self.voices.index(speaker)], device=self._device)

    def _mel(self, pictures: np.ndarray, voice: Tensor | None) -> Tensor:
        """Mhat [1, M, L] in the losses' scale, which is the vocoder's too."""
        length, size = len(pictures), self._frames
        spans = list(windows_over(length, size, round(OVERLAP * size)))
        total = torch.zeros(1, self._network.shape.num_mels, COLUMNS_PER_FRAME * length)
        weight = torch.zeros(COLUMNS_PER_FRAME * length)
        for i, (start, end) in enumerate(spans):
            seen = torch.from_numpy(np.ascontiguousarray(pictures[None, start:end]))
            mel = self._network.decode(self._network.encode(seen.to(self._device)), voice)
            before = spans[i - 1][1] - start if i else 0
            after = end - spans[i + 1][0] if i + 1 < len(spans) else 0
            fade = torch.from_numpy(
                fades(*(COLUMNS_PER_FRAME * n for n in (end - start, before, after)))
            )
            columns = slice(COLUMNS_PER_FRAME * start, COLUMNS_PER_FRAME * end)
            total[..., columns] += mel.float().cpu() * fade
            weight[columns] += fade
        return total / weight  # a last step that is short has three windows over a column

    def _vocode(self, mel: Tensor, seed: int) -> Tensor:
        """[1, M, L] -> [160 L], from noise of the seed."""
        vocoder, length = self._network.vocoder, mel.shape[2]
        drawn = torch.Generator().manual_seed(seed)
        noise = torch.randn((1, vocoder.noise_channels, length), generator=drawn)
        pieces = []
        for start in range(0, length, PIECE_COLUMNS):
            end = min(start + PIECE_COLUMNS, length)
            low, high = max(0, start - CONTEXT_COLUMNS), min(length, end + CONTEXT_COLUMNS)
            made = self._network.speak(
                mel[..., low:high].to(self._device), noise[..., low:high].to(self._device)
            )
            pieces.append(made[0, HOP * (start - low) : HOP * (end - low)].float().cpu())
        return torch.cat(pieces)
