"""What brings faces and voices together (Lip2Speech, 3.3, "instance based contrasting learning").

The paper names the criterion alone; its form is that of the authors' code
(speaker_encoder/losses.py there). With several ranks all their faces stand against all voices.

Legend: B clips of a step over all ranks, b of this rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.harness.ranks import rank
from training.layers.voice_encoder import unit_voice
from training.losses.across import mean_of, summed, world_size

MOST_TEMPERATURE = 100.0
FAR = -1e4
"""Of a pair that is not compared."""


class Contrast(nn.Module):
    """Its one parameter t, begun at 1 and held below 100."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(1.0))

    def forward(self, faces: Tensor, voices: Tensor, speakers: Tensor) -> Tensor:
        """Cross entropy of faces [b, 256] among voices [b, 256] and the other way; two clips of one
        speaker (int [b], -1: unknown) are not compared (inferred: their voices are one)."""
        gathered = everywhere(torch.cat([faces, voices], 1))
        faces, voices = gathered.chunk(2, 1)
        names = everywhere(speakers[:, None].float())[:, 0]
        logits = faces @ voices.T * self.temperature.clamp(max=MOST_TEMPERATURE)
        alike = (names[:, None] == names) & (names >= 0)
        alike.fill_diagonal_(False)
        logits = logits.masked_fill(alike, FAR)
        own = torch.arange(len(logits), device=logits.device)
        both = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)
        return both / 2


def everywhere(rows: Tensor) -> Tensor:
    """[b, D] of each rank -> [B, D] of all, with gradients; all ranks have as many."""
    count = world_size()
    if count == 1:
        return rows
    place = torch.zeros(count, *rows.shape, dtype=rows.dtype, device=rows.device)
    place[rank()] = 1
    return summed(place * rows).transpose(0, 1).flatten(0, 1)


def likeness(faces: Tensor, voices: Tensor) -> Tensor:
    """The authors' second term: mean squared difference of the embeddings that are used."""
    return mean_of((unit_voice(faces) - unit_voice(voices)).square())
