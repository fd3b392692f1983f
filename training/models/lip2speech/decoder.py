"""The mel decoder (Lip2Speech, 3.5): from frames' features to columns, one after the other.

    features -> BiLSTM -> memory -> keys, values      its last states -> LSTM's first, latent
    column t: prenet(column t - 1) + attended -> LSTM -> column t, stop(state, latent)
    all columns -> + post-net

`variant` decides between the paper and the authors' code (`shape.py`). In the paper's all that lies
beyond a clip is masked, so that its columns do not depend on longer clips beside it; the code masks
nothing.

Legend: B batch, N frames, T columns, M = 80 bands, H hidden, L layers of the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from training.data.sound_features import LIP2SPEECH_BANDS
from training.layers.sequences import SequenceBatchNorm, within, zero_outside
from training.models.lip2speech.attention import Attention, Linear, SeveralWidths, Sine, positions
from training.models.lip2speech.content import Content
from training.models.lip2speech.shape import (
    COLUMNS_PER_FRAME,
    HIDDEN,
    WORDS,
    Lip2SpeechShape,
)
from training.models.speaker_identity.shape import EMBEDDING

POST_LAYERS, POST_KERNEL = 5, 5
POST_REACH = POST_LAYERS * (POST_KERNEL // 2)
"""Columns to either side that the post-net sees."""


@dataclass(frozen=True)
class Memory:
    """What is known before the first column."""

    keys: Tensor
    """[B, H, N]."""
    values: Tensor
    """[B, N, H]."""
    mask: Tensor | None
    """Frames that are there, bool [B, N]; None: all."""
    state: tuple[Tensor, Tensor]
    """Hidden and cell [L, B, H] that the decoder begins with."""
    latent: Tensor
    """[B, ...] beside the state for the stop token."""
    words: tuple[Tensor, Tensor, Tensor] | None
    """Keys, values and shares of the codebook."""


@dataclass(frozen=True)
class Decoded:
    """Columns of a batch."""

    before: Tensor
    """[B, T, M], without the post-net."""
    mel: Tensor
    """[B, T, M], with it."""
    stop: Tensor
    """Logits [B, T]: column t is the last one."""
    attention: Tensor
    """Weights [B, T, N]."""
    lengths: Tensor
    """Columns of each clip, int [B]."""
    word_shares: Tensor | None


class PostNet(nn.Module):
    """[B, M, T] -> what is added to it: five convolutions, sines between, the inner ones beside
    what they begin with (the authors' code; the paper names no post-net)."""

    def __init__(self, bands: int, hidden: int, dropout: float) -> None:
        super().__init__()
        sizes = [bands, *[hidden] * (POST_LAYERS - 1), bands]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, POST_KERNEL, padding=POST_KERNEL // 2)
            for a, b in zip(sizes, sizes[1:], strict=False)
        )
        for i, convolve in enumerate(self.convolutions):
            assert isinstance(convolve, nn.Conv1d)
            gain = nn.init.calculate_gain("tanh" if i < POST_LAYERS - 1 else "linear")
            nn.init.xavier_uniform_(convolve.weight, gain)
        self.norms = nn.ModuleList(SequenceBatchNorm(size) for size in sizes[1:])
        self.sines = nn.ModuleList(Sine(hidden) for _ in range(POST_LAYERS - 1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for i, (convolve, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            made = norm(convolve(zero_outside(x, mask)), mask)
            if i < POST_LAYERS - 1:
                made = self.sines[i](made.transpose(1, 2)).transpose(1, 2)
                made = made + x if i else made
            x = self.dropout(made)
        return zero_outside(x, mask)


class MelDecoder(nn.Module):
    """Features [B, N, D] and voices [B, 256] -> columns."""

    def __init__(self, shape: Lip2SpeechShape) -> None:
        super().__init__()
        self.shape = shape
        hidden, layers = shape.scaled(HIDDEN), shape.decoder_layers
        half = hidden // 2
        self.first_column = nn.Parameter(torch.randn(1, 1, LIP2SPEECH_BANDS))
        self.encoder = nn.LSTM(
            shape.visual_features,
            hidden,
            shape.encoder_layers,
            batch_first=True,
            bidirectional=True,
        )
        self.memory = Linear(2 * hidden, hidden)
        self.keys, self.values = SeveralWidths(hidden), SeveralWidths(hidden)
        if shape.is_code:
            self.voice_begins = nn.Sequential(Linear(EMBEDDING, hidden), Sine(hidden))
            self.voice_beside = nn.Sequential(Linear(EMBEDDING, hidden), Sine(hidden))
            self.beside = nn.Conv1d(shape.visual_features, hidden, 1)
            self.content = Content(hidden, half, shape.scaled(WORDS) if shape.width != 1 else WORDS)
            self.latent = Linear(2 * hidden, hidden)
        query_inputs = 2 * hidden if shape.is_code else half + hidden
        self.query = nn.Sequential(Linear(query_inputs, hidden), Sine(hidden))
        self.attention = Attention(hidden, half, shape.is_code, shape.attention_dropout)
        self.prenet = nn.Sequential(
            Linear(LIP2SPEECH_BANDS, half),
            Sine(half),
            nn.Dropout(shape.prenet_dropout),
            Linear(half, half),
            Sine(half),
            nn.Dropout(0.0 if shape.is_code else shape.prenet_dropout),
        )
        inputs = hidden if shape.is_code else half
        self.lstm = nn.LSTM(inputs, hidden, layers, dropout=shape.dropout, batch_first=True)
        self.column = Linear(hidden, LIP2SPEECH_BANDS)
        self.stop = Linear(hidden + (hidden if shape.is_code else layers * hidden), 1)
        self.post_net = PostNet(LIP2SPEECH_BANDS, hidden, shape.post_dropout)

    # -- before the first column ----------------------------------------------------------------

    def remember(self, features: Tensor, voices: Tensor, lengths: Tensor) -> Memory:
        """`lengths` int [B] of the frames that are there."""
        size = features.shape[1]
        mask = None
        if not self.shape.is_code and bool((lengths < size).any()):
            mask = within(lengths, size)
        told, (hidden, cell) = self._encoded(
            features, voices, lengths if mask is not None else None
        )
        memory, words = self.memory(told), None
        if self.shape.is_code:
            memory = memory + self.voice_beside(voices)[:, None]
            memory = memory + self.beside(features.transpose(1, 2)).transpose(1, 2)
            words = self.content.encode(memory.transpose(1, 2))
            latent = self.latent(torch.cat(list(cell), 1))
            cell = torch.zeros_like(cell)
        else:
            latent = torch.cat(list(hidden), 1)
        memory = memory.transpose(1, 2)
        place = self._places(size, features.device, COLUMNS_PER_FRAME)
        keys = self.keys(memory, mask) + place.T
        values = (self.values(memory, mask) + place.T).transpose(1, 2)
        return Memory(keys, values, mask, (hidden.contiguous(), cell.contiguous()), latent, words)

    def _encoded(
        self, features: Tensor, voices: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The BiLSTM's [B, N, 2 H] and its last states [layers, B, H], forward before backward."""
        if self.shape.is_code:
            begin = self.voice_begins(voices)[None].repeat(2, 1, 1)
            return self.encoder(features, (begin, begin))
        if lengths is None:
            return self.encoder(features)
        packed = pack_padded_sequence(features, lengths.cpu(), True, enforce_sorted=False)
        told, state = self.encoder(packed)
        return pad_packed_sequence(told, True, total_length=features.shape[1])[0], state

    def _places(self, size: int, device: torch.device, step: float) -> Tensor:
        """Positions [size, H]. The paper's variant counts frames on the columns' clock, so that a
        frame and its columns are at one place (inferred); the code counts both by ones."""
        count = torch.arange(size, device=device, dtype=torch.float32)
        return positions(count * (1.0 if self.shape.is_code else step), self.shape.scaled(HIDDEN))

    # -- column by column -----------------------------------------------------------------------

    def _next(
        self, memory: Memory, before: Tensor, state: tuple[Tensor, Tensor], place: Tensor
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
        """After column `before` [B, 1, M]: the next one, its stop logit [B, 1], the state after it
        and the weights [B, 1, N]. The query knows the state before it (3.5)."""
        heard = self.prenet(before)
        if self.shape.is_code:
            known = torch.cat(list(state[0]), 1)[:, None]
        else:
            known = torch.cat([heard, state[0][-1][:, None]], 2)
        query = self.query(known) + place
        found, weights = self.attention(query, memory.keys, memory.values, memory.mask)
        inputs = heard + found
        if memory.words is not None:
            words = self.content(state[1], memory.words[0], memory.words[1])
            inputs = torch.cat([words, inputs], 2)
        told, state = self.lstm(inputs, state)
        stop = self.stop(torch.cat([told[:, 0], memory.latent], 1))
        return self.column(told), stop, state, weights

    def taught(self, memory: Memory, truth: Tensor, is_taught: Tensor, lengths: Tensor) -> Decoded:
        """As many columns as the truth [B, T, M] has; where `is_taught`, bool [T], the true column
        before is heard instead of the decoder's own. `lengths` int [B] of the columns that are
        there."""
        size = truth.shape[1]
        place = self._places(size, truth.device, 1.0)
        column, state = self.first_column.expand(len(truth), -1, -1), memory.state
        columns, stops, weights = [], [], []
        for t, taught in enumerate(is_taught.tolist()):
            if taught and t:
                column = truth[:, t - 1 : t]
            column, stop, state, weight = self._next(memory, column, state, place[t])
            columns.append(column)
            stops.append(stop)
            weights.append(weight)
        return self._finished(memory, columns, stops, weights, lengths)

    @torch.no_grad()
    def free(self, memory: Memory, threshold: float = 0.5) -> Decoded:
        """By itself, until the stop token of each clip first exceeds `threshold`, or for
        `max_columns`."""
        most, rows = self.shape.max_columns, len(memory.latent)
        place = self._places(most, memory.latent.device, 1.0)
        column, state = self.first_column.expand(rows, -1, -1), memory.state
        lengths = torch.full((rows,), most, device=memory.latent.device)
        columns, stops, weights = [], [], []
        end = most
        for t in range(most):
            if t >= end:
                break
            column, stop, state, weight = self._next(memory, column, state, place[t])
            columns.append(column)
            stops.append(stop)
            weights.append(weight)
            has_stopped = (stop[:, 0].sigmoid() > threshold) & (lengths == most)
            lengths = torch.where(has_stopped, t + 1, lengths)
            if end == most and bool((lengths < most).all()):
                # The code's post-net sees what follows a clip's end; the paper's variant does not.
                end = min(most, t + 1 + (POST_REACH if self.shape.is_code else 0))
        return self._finished(memory, columns, stops, weights, lengths)

    def _finished(
        self,
        memory: Memory,
        columns: list[Tensor],
        stops: list[Tensor],
        weights: list[Tensor],
        lengths: Tensor,
    ) -> Decoded:
        before = torch.cat(columns, 1)
        mask = None
        if not self.shape.is_code and bool((lengths < before.shape[1]).any()):
            mask = within(lengths, before.shape[1])
        mel = before + self.post_net(before.transpose(1, 2), mask).transpose(1, 2)
        return Decoded(
            before,
            mel,
            torch.cat(stops, 1),
            torch.cat(weights, 1),
            lengths,
            None if memory.words is None else memory.words[2],
        )
