"""Speech2Vid at work: stills and sound to the pictures of any moments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from manifests.clock import SAMPLES_PER_FRAME
from training.data.sound_features import speech2vid_at
from training.data.views import View
from training.harness.system import Facts
from training.models.speech2vid.config import Speech2VidConfig
from training.models.speech2vid.network import Speech2Vid, as_channels

PICTURES_AT_ONCE = 32
LEAST_SAMPLES = 2 * SAMPLES_PER_FRAME
"""What the coefficients need; what a sound is shorter is silence."""


class Speech2VidAnimator:
    """A `training.harness.animator.Animator`."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        config: Speech2VidConfig,
        facts: Facts,
        device: str = "cpu",
    ) -> None:
        """Raises RuntimeError where the weights are of another shape."""
        self.view: View = config.view.view
        self.num_stills = config.shape.stills
        self._device = torch.device(device)
        self._network = Speech2Vid(config.shape)
        self._network.load_state_dict(dict(weights))
        self._network.eval().to(self._device)
        self._mean = np.array(facts["mean"], np.float32)[:, None]
        self._deviation = np.array(facts["deviation"], np.float32)[:, None]

    @torch.inference_mode()
    def animate(self, stills: np.ndarray, sound: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """As the protocol says. Who it is is looked at once (section 3.2)."""
        if stills.shape[0] != self.num_stills:
            raise ValueError(f"the model takes {self.num_stills} stills, not {stills.shape[0]}")
        silence = np.zeros(max(0, LEAST_SAMPLES - len(sound)), sound.dtype)
        heard = (
            speech2vid_at(np.concatenate([sound, silence]), times_s) - self._mean
        ) / self._deviation
        who = self._network.identity(as_channels(torch.from_numpy(stills)[None].to(self._device)))
        made = [
            self._network.says(part, *who).movedim(1, -1)
            for part in torch.from_numpy(heard).to(self._device).split(PICTURES_AT_ONCE)
        ]
        return torch.cat(made).mul(255).round().byte().cpu().numpy()
