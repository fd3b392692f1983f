"""GE2E's speaker encoder (Wan et al. 2018) as resemblyzer publishes it: sound to 256 numbers.

The network and the weights of the score `voice similarity` (`evaluation/metrics/voice.py`), as a
module that is trained against; its mel is `training/data/voice_mel.py`. Text-to-speech systems that
take GE2E vectors (SV2TTS) take `unit_voice` of its output.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.metrics.voice import weights_path

BANDS, CELLS, LAYERS, EMBEDDING = 40, 256, 3, 256


class VoiceEncoder(nn.Module):
    """Legend: B batch, C columns of 10 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, CELLS, LAYERS, batch_first=True)
        self.linear = nn.Linear(CELLS, EMBEDDING)

    def forward(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """Power mel float [B, C, 40] with `lengths` int [B] -> [B, 256], before ReLU and norm."""
        told, _ = self.lstm(mel)
        last = told[torch.arange(len(mel), device=mel.device), lengths - 1]
        return self.linear(last)


def unit_voice(raw: Tensor) -> Tensor:
    """[B, 256] -> the same, not negative and of length 1: GE2E's embedding."""
    return functional.normalize(raw.relu(), dim=1)


@cache
def published(device: torch.device) -> VoiceEncoder:
    """With the published weights, frozen. Raises ImportError where resemblyzer is not installed."""
    told = torch.load(weights_path(), map_location="cpu", weights_only=True)["model_state"]
    made = VoiceEncoder()
    own = made.state_dict()
    made.load_state_dict({name: value for name, value in told.items() if name in own})
    return made.eval().requires_grad_(False).to(device)
