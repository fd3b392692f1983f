"""The speaker identity module in use: the voice of a face, for text-to-speech that takes GE2E's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from training.data.views import View
from training.harness.system import Facts
from training.models.speaker_identity.config import IdentityConfig
from training.models.speaker_identity.network import SpeakerIdentity


class IdentityEmbedder:
    """A `training.harness.speaker.VoiceOfFace`."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        config: IdentityConfig,
        facts: Facts,
        device: str = "cpu",
    ) -> None:
        """Raises RuntimeError where the weights are of another shape."""
        self.face_view: View = config.view.view(config.shape)
        self._device = torch.device(device)
        self._network = SpeakerIdentity(config.shape)
        self._network.load_state_dict(dict(weights))
        self._network.eval().to(self._device)

    @torch.inference_mode()
    def voice_of_face(self, face: np.ndarray) -> np.ndarray:
        """As the protocol says."""
        picture = torch.from_numpy(np.ascontiguousarray(face))[None].to(self._device)
        return self._network.embed(picture)[0].float().cpu().numpy()
