"""Vid2Speech speaking: each frame's line spectra, and noise through their filters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from training.data.line_spectrum import sound_of
from training.data.views import View
from training.harness.system import Facts
from training.models.vid2speech.config import Vid2SpeechConfig
from training.models.vid2speech.network import Vid2Speech, clips_in

CLIPS_AT_ONCE = 64


class Vid2SpeechSpeaker:
    """A `training.harness.speaker.Speaker`; one model is one voice."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        config: Vid2SpeechConfig,
        facts: Facts,
        device: str = "cpu",
    ) -> None:
        """Raises RuntimeError where the weights are of another shape."""
        self.voices = tuple(facts["speakers"])
        self.view: View = config.view
        self._facts, self._context = facts, config.shape.context_frames
        self._device = torch.device(device)
        self._network = Vid2Speech(config.shape)
        self._network.load_state_dict(dict(weights))
        self._network.eval().to(self._device)

    @torch.inference_mode()
    def speak(self, pictures: np.ndarray, speaker: str | None = None, seed: int = 0) -> np.ndarray:
        """As the protocol says. The code leaves the first and last four frames silent; here the
        outermost frame is repeated. Sound above +-1 is brought down as a whole."""
        if speaker is not None and speaker not in self.voices:
            raise ValueError(f"the model knows no speaker {speaker}")
        edge = self._context // 2
        held = np.pad(pictures, ((edge, edge), (0, 0), (0, 0)), mode="edge")
        seen = torch.from_numpy(held).to(self._device).float() / 255 - self._facts["pixel_mean"]
        clips = clips_in(seen[None], self._context)[0]
        told = torch.cat([self._network(part) for part in clips.split(CLIPS_AT_ONCE)])
        values = told.float().cpu().numpy() * self._facts["deviation"] + self._facts["mean"]
        sound = sound_of(values, seed)
        return sound / max(1.0, float(np.abs(sound).max()))
