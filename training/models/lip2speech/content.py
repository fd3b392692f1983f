"""The codebook of words in the authors' code, of which the paper says nothing (`variant: code`).

From stretches of frames of three lengths it chooses among 501 words, about one a stretch, and the
decoder attends to the chosen ones. A loss draws the choice towards all words alike.

Legend: B batch, C channels, N frames, W words chosen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STRETCHES = (3, 5, 7)
TEMPERATURE = 0.1
"""Of the choice (Gumbel softmax)."""


def _stretch(channels: int, length: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(channels, channels, length, length), nn.BatchNorm1d(channels), nn.SiLU()
    )


class Content(nn.Module):
    """[B, C, N] -> words to attend to."""

    def __init__(self, channels: int, inner: int, num_words: int) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.rand(num_words, inner))
        self.stretches = nn.ModuleList(_stretch(channels, n) for n in (1, *STRETCHES))
        self.joined = nn.Conv1d((len(STRETCHES) + 2) * channels, inner, 1)
        self.choose = nn.Sequential(
            nn.Linear(inner, inner),
            nn.SiLU(),
            nn.Linear(inner, inner),
            nn.SiLU(),
            nn.Linear(inner, num_words),
            nn.SiLU(),
        )
        self.key = nn.Sequential(
            nn.Linear(inner, inner), nn.SiLU(), nn.Linear(inner, inner), nn.SiLU()
        )
        self.query = nn.Sequential(nn.Linear(2 * channels, inner), nn.SiLU())
        self.temperature = nn.Parameter(torch.tensor([inner**0.5]))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values [B, W, inner], and the share of each word [B, W, words].

        While it is trained the choice is drawn; the authors' code draws when it speaks as well,
        here the likeliest are taken then, so that the same call gives the same sound.
        """
        if x.shape[2] < STRETCHES[-1]:  # too short for the longest stretch
            x = functional.pad(x, (0, STRETCHES[-1] - x.shape[2]))
        found = [x, *(stretch(x) for stretch in self.stretches)]
        least = min(f.shape[2] for f in found)
        joined = torch.cat([functional.adaptive_avg_pool1d(f, least) for f in found], 1)
        inner = self.joined(joined).transpose(1, 2)
        logits = self.choose(inner)
        if self.training:
            chosen = functional.gumbel_softmax(logits, TEMPERATURE, dim=2)
        else:
            chosen = (logits / TEMPERATURE).softmax(2)
        return self.key(inner), chosen @ self.words, logits.softmax(2)

    def forward(self, cells: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Of cell states [2, B, C]: [B, 1, inner]."""
        query = self.query(torch.cat(list(cells), 1))[:, None] * self.temperature
        return torch.bmm(torch.bmm(query, keys.transpose(1, 2)).softmax(2), values)


def evenness(shares: Tensor) -> Tensor:
    """Mean of KL(share || uniform) of [B, W, words]."""
    return (shares * torch.log(shares * shares.shape[2] + 1e-20)).sum(2).mean()
