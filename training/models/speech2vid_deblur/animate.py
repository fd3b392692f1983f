"""The deblurring network at work."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from training.harness.system import Facts
from training.models.speech2vid_deblur.config import DeblurConfig
from training.models.speech2vid_deblur.network import Deblur, sharper

PICTURES_AT_ONCE = 32


class DeblurSharpener:
    """A `training.harness.animator.Sharpener`."""

    def __init__(
        self, weights: Mapping[str, Tensor], config: DeblurConfig, facts: Facts, device: str = "cpu"
    ) -> None:
        """Raises RuntimeError where the weights are of another shape."""
        self._device = torch.device(device)
        self._network = Deblur(config.shape)
        self._network.load_state_dict(dict(weights))
        self._network.eval().to(self._device)

    @torch.inference_mode()
    def sharpen(self, pictures: np.ndarray) -> np.ndarray:
        """As the protocol says."""
        made = [
            sharper(self._network, part.to(self._device).float().movedim(-1, 1) / 255)
            for part in torch.from_numpy(pictures).split(PICTURES_AT_ONCE)
        ]
        joined = torch.cat(made).movedim(1, -1) if made else torch.zeros(0, *pictures.shape[1:])
        return joined.mul(255).round().byte().cpu().numpy()
