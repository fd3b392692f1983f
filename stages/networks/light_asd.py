"""Light-ASD: does this face speak at this frame? (Liao et al., CVPR 2023; code under MIT.)

Two small encoders, one of the face and one of the sound, each of blocks that see space (or
cepstra) and time apart; their sum goes through two GRUs in series, the second against time.
Names and shapes are those of the released files, which load strictly.

The score is the raw output of class 1, positive for "speaks". It does not measure synchrony:
sound shifted by 200 ms hardly changes it. The AVA weights ask for speech in the sound, the
TalkSet weights follow the motion of the face nearly alone.

The published demo scores a track in passes of 1 to 6 s windows and takes the mean; so does
`LightAsd.scores` by default. Without windows the track is one sequence: encoders run over
pieces with a margin wider than their reach, the GRUs over all of it, so that a long track
needs little memory and no seam is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from manifests.clock import FRAME_RATE, SAMPLES_PER_FRAME
from manifests.weights.cache import ModelFileError, unusable
from stages.networks.mfcc import COLUMNS_PER_FRAME, NUM_CEPSTRA, STEP, WINDOW, mfcc
from stages.networks.released import read_state

SIDE_PX = 112
PASSES_S = (1, 2, 3, 4, 5, 6)
"""The demo writes {1,1,1,2,2,2,3,3,4,5,6}; a set drops repeats, so six equal passes remain."""
MEAN, DEVIATION = 0.4161, 0.1688
CHUNK_FRAMES = 96
REACH_FRAMES = 6
"""Frames to either side that an encoder's output depends on: 6 of pictures (three kernels of
5), 17 columns of sound, which is under 5 frames."""
_LOOK_AHEAD = WINDOW - STEP


class _Block(nn.Module):
    """Two branches, kernels 3 and 5: first across space or cepstra (`first`: "s" or "m"),
    then along time; their sum goes through a 1x1 convolution."""

    def __init__(self, first: str, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = first
        across: nn.Conv2d | nn.Conv3d
        along: nn.Conv2d | nn.Conv3d
        for size in (3, 5):
            half = size // 2
            if first == "s":
                across = nn.Conv3d(
                    inputs,
                    outputs,
                    (1, size, size),
                    (1, stride, stride),
                    (0, half, half),
                    bias=False,
                )
                along = nn.Conv3d(outputs, outputs, (size, 1, 1), 1, (half, 0, 0), bias=False)
            else:
                across = nn.Conv2d(inputs, outputs, (size, 1), 1, (half, 0), bias=False)
                along = nn.Conv2d(outputs, outputs, (1, size), 1, (0, half), bias=False)
            self._add(f"{first}_{size}", across)
            self._add(f"t_{size}", along)
        last = nn.Conv3d if first == "s" else nn.Conv2d
        self._add("last", last(outputs, outputs, 1, bias=False))

    def _add(self, name: str, layer: nn.Conv2d | nn.Conv3d) -> None:
        norm = nn.BatchNorm3d if self.first == "s" else nn.BatchNorm2d
        self.add_module(name, layer)
        self.add_module(f"bn_{name}", norm(layer.out_channels, eps=1e-3, momentum=0.01))

    def _layer(self, name: str, x: Tensor) -> Tensor:
        return functional.relu(getattr(self, f"bn_{name}")(getattr(self, name)(x)))

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self._layer(f"t_{size}", self._layer(f"{self.first}_{size}", x)) for size in (3, 5)
        ]
        return self._layer("last", branches[0] + branches[1])


class _VisualEncoder(nn.Module):
    """[B, 1, T, 112, 112], normalised -> [B, T, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = _Block("s", 1, 32, stride=2)
        self.block2 = _Block("s", 32, 64)
        self.block3 = _Block("s", 64, 128)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.pool(self.block2(self.pool(self.block1(x)))))
        return x.amax((3, 4)).transpose(1, 2)


class _AudioEncoder(nn.Module):
    """[B, 1, 13, 4 T] -> [B, T, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = _Block("m", 1, 32)
        self.block2 = _Block("m", 32, 64)
        self.block3 = _Block("m", 64, 128)
        self.pool = nn.MaxPool2d((1, 3), (1, 2), (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.pool(self.block2(self.pool(self.block1(x)))))
        return x.mean(2).transpose(1, 2)


class _Gru(nn.Module):
    """Forward in time, then, in series, against it: [B, T, 128] -> [B, T, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.gru_forward = nn.GRU(128, 128, batch_first=True)
        self.gru_backward = nn.GRU(128, 128, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.gru_forward(x)[0])
        return functional.gelu(self.gru_backward(x.flip(1))[0].flip(1))


class _Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visualEncoder = _VisualEncoder()
        self.audioEncoder = _AudioEncoder()
        self.GRU = _Gru()


class _Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.FC = nn.Linear(128, 2)


class LightAsd(nn.Module):
    """The network with its front ends; `load` gives it weights and puts it in eval mode."""

    title: ClassVar[str] = "Light-ASD"
    reach_frames: ClassVar[int] = REACH_FRAMES

    def __init__(self) -> None:
        super().__init__()
        self.model = _Towers()
        self.lossAV = _Head()
        self.lossV = _Head()

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """From a released file. Raises ModelFileError where content, names or shapes are not
        its own."""
        network = cls()
        try:
            network.load_state_dict(read_state(path))
        except ModelFileError:
            raise
        except RuntimeError as error:
            raise unusable(path, f"it is not {cls.title}: {error}") from error
        return network.eval()

    @torch.inference_mode()
    def see(self, crops: np.ndarray) -> Tensor:
        """Gray crops uint8 [T, 112, 112] -> embeddings float32 [T, 128], in pieces."""
        check_crops(crops)

        def encode(low: int, high: int) -> Tensor:
            gray = torch.from_numpy(np.ascontiguousarray(crops[low:high])).to(self._device())
            return self.model.visualEncoder((gray.float() / 255 - MEAN)[None, None] / DEVIATION)[0]

        return _in_pieces(encode, len(crops), self.reach_frames)

    @torch.inference_mode()
    def hear(self, cepstra: np.ndarray) -> Tensor:
        """Cepstra float32 [4 T, 13] -> embeddings float32 [T, 128], in pieces."""
        if cepstra.ndim != 2 or cepstra.shape[1] != NUM_CEPSTRA or len(cepstra) % 4:
            raise ValueError(f"cepstra must be [4 T, 13], not {list(cepstra.shape)}")

        def encode(low: int, high: int) -> Tensor:
            rows = cepstra[low * COLUMNS_PER_FRAME : high * COLUMNS_PER_FRAME]
            columns = torch.from_numpy(np.ascontiguousarray(rows.T, np.float32))
            return self.model.audioEncoder(columns.to(self._device())[None, None])[0]

        return _in_pieces(encode, len(cepstra) // COLUMNS_PER_FRAME, self.reach_frames)

    @torch.inference_mode()
    def decide(self, seen: Tensor, heard: Tensor) -> np.ndarray:
        """Embeddings [T, 128] twice -> raw outputs float32 [T, 2]: (silent, speaks)."""
        if seen.shape != heard.shape:
            raise ValueError(f"{len(seen)} frames of pictures, {len(heard)} of sound")
        return self.lossAV.FC(self.model.GRU((seen + heard)[None])[0]).float().cpu().numpy()

    def scores_of(
        self, crops: np.ndarray, cepstra: np.ndarray, windows_s: Sequence[float] | None = PASSES_S
    ) -> np.ndarray:
        """Gray crops uint8 [T, 112, 112] and cepstra [4 T, 13] -> scores float32 [T].

        For each length in `windows_s` (seconds) the track is cut from its start into windows
        that know nothing of each other; the mean over the lengths is returned, unrounded
        (the demo rounds to one decimal). None: the track as one sequence.
        """
        check_crops(crops)
        count = len(crops)
        if len(cepstra) != count * COLUMNS_PER_FRAME:
            raise ValueError(f"{count} frames need {4 * count} columns, not {len(cepstra)}")
        if windows_s is None:
            return self.decide(self.see(crops), self.hear(cepstra))[:, 1]
        if not windows_s or min(windows_s) * FRAME_RATE < 1:
            raise ValueError(f"windows of at least a frame are needed, not {windows_s}")
        known: dict[tuple[int, int], np.ndarray] = {}
        total = np.zeros(count, np.float64)
        for size in (round(FRAME_RATE * seconds) for seconds in windows_s):
            for low in range(0, count, size):
                # A short track is the same window for every longer length.
                span = (low, min(low + size, count))
                if span not in known:
                    known[span] = self.decide(
                        self.see(crops[slice(*span)]), self.hear(cepstra[4 * span[0] : 4 * span[1]])
                    )[:, 1]
                total[slice(*span)] += known[span]
        return (total / len(windows_s)).astype(np.float32)

    def scores(
        self, crops: np.ndarray, pcm: np.ndarray, windows_s: Sequence[float] | None = PASSES_S
    ) -> np.ndarray:
        """Gray crops uint8 [T, 112, 112] at 25 fps and int16 [N] at 16 kHz that begins with
        the first crop -> a score per frame, float32 [T]. See `features` and `scores_of`."""
        return self.scores_of(crops, features(pcm, len(crops)), windows_s)

    def _device(self) -> torch.device:
        return self.lossAV.FC.weight.device


def features(pcm: np.ndarray, num_frames: int) -> np.ndarray:
    """int16 [N] at 16 kHz -> cepstra float32 [4 T, 13] of `num_frames` = T frames.

    Sound after the last frame is used as far as the last window reaches, and is silence where
    there is none: cut at the frame's end, as in the demo, the last frame would have only three
    columns and no score. Raises ValueError for sound that ends before the pictures.
    """
    needed = num_frames * SAMPLES_PER_FRAME
    if len(pcm) < needed:
        raise ValueError(f"{num_frames} frames need {needed} samples, not {len(pcm)}")
    known = pcm[: needed + _LOOK_AHEAD]
    return mfcc(np.pad(known, (0, needed + _LOOK_AHEAD - len(known))))


def check_crops(crops: np.ndarray) -> None:
    """Raises TypeError or ValueError unless `crops` is uint8 [T >= 1, 112, 112]."""
    if crops.dtype != np.uint8:
        raise TypeError(f"crops must be uint8, not {crops.dtype}")
    if crops.ndim != 3 or crops.shape[1:] != (SIDE_PX, SIDE_PX) or not len(crops):
        raise ValueError(f"crops must be [T, 112, 112], not {list(crops.shape)}")


def _in_pieces(encode, count: int, reach: int) -> Tensor:
    """`encode(low, high)` over [0, count) in pieces whose margins are thrown away."""
    parts = []
    for low in range(0, count, CHUNK_FRAMES):
        high = min(low + CHUNK_FRAMES, count)
        begin, end = max(low - reach, 0), min(high + reach, count)
        parts.append(encode(begin, end)[low - begin : high - begin])
    return torch.cat(parts)
