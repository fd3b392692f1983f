"""SyncNet v2 (Chung & Zisserman, "Out of time", 2016), as its authors released it.

Two towers map 0.2 s of a face (5 frames, 224 px, BGR, 0..255) and 0.2 s of sound (20 columns of
13 cepstra) to vectors of 1024 numbers whose Euclidean distance is small when the two belong
together (joonson/syncnet_python, MIT). Layer names are those of `syncnet_v2.model`.

Only the first convolution of the face tower spans time, and it pads nothing there, so one pass
over a whole track gives each window's vector with every frame read and held once, not five
times. The sound tower pads each window with zeros at the window's own edges: its windows are
computed one by one.

Sign: the published offset v - argmin is in frames of 40 ms and positive where the picture lags
the sound, as `video_lag_ms` is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.signal import medfilt
from torch import nn
from torch.nn import functional

from manifests.clock import SAMPLES_PER_FRAME
from manifests.weights.cache import unusable
from stages.networks.mfcc import COLUMNS_PER_FRAME, mfcc
from stages.networks.released import read_state

SIDE_PX = 224
WINDOW_FRAMES, WINDOW_COLUMNS = 5, 20
DIMENSIONS = 1024
VSHIFT = 15
"""Frames searched to either side: the published command line's default."""
CHUNK_WINDOWS = 16
CHUNK_SOUNDS = 256


def _conv2d(inputs: int, outputs: int, size, padding: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()]


def _conv3d(inputs: int, outputs: int, size, stride: int, padding: int) -> list[nn.Module]:
    return [
        nn.Conv3d(inputs, outputs, size, (1, stride, stride), (0, padding, padding)),
        nn.BatchNorm3d(outputs),
        nn.ReLU(),
    ]


def _pool3d(padding: int = 0) -> nn.Module:
    return nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, padding, padding))


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, inputs), nn.BatchNorm1d(inputs), nn.ReLU(), nn.Linear(inputs, outputs)
    )


class SyncNet(nn.Module):
    """Both towers; `load` gives them weights and puts them in eval mode.

    `width` is a factor on all channels and `side_px` the side of the pictures, for trainings on a
    processor: layers and their names stay, and the last convolution of the face tower spans
    what is left of the picture (6 of 224 px). Raises ValueError if nothing is.
    """

    def __init__(self, width: float = 1.0, side_px: int = SIDE_PX) -> None:
        super().__init__()
        c64, c96, c192, c256, c384, c512, self.dimensions = (
            max(1, round(channels * width)) for channels in (64, 96, 192, 256, 384, 512, DIMENSIONS)
        )
        self.side_px, last = side_px, _last_side(side_px)
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, c64, 3, 1),
            nn.MaxPool2d(1, 1),  # does nothing, but later layers are numbered after it
            *_conv2d(c64, c192, 3, 1),
            nn.MaxPool2d(3, (1, 2)),
            *_conv2d(c192, c384, 3, 1),
            *_conv2d(c384, c256, 3, 1),
            *_conv2d(c256, c256, 3, 1),
            nn.MaxPool2d(3, 2),
            *_conv2d(c256, c512, (5, 4), 0),
        )
        self.netfcaud = _head(c512, self.dimensions)
        self.netfclip = _head(c512, self.dimensions)
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, c96, (5, 7, 7), 2, 0),
            _pool3d(),
            *_conv3d(c96, c256, (1, 5, 5), 2, 1),
            _pool3d(1),
            *_conv3d(c256, c256, (1, 3, 3), 1, 1),
            *_conv3d(c256, c256, (1, 3, 3), 1, 1),
            *_conv3d(c256, c256, (1, 3, 3), 1, 1),
            _pool3d(),
            *_conv3d(c256, c512, (1, last, last), 1, 0),
        )

    @staticmethod
    def load(path: Path | str) -> SyncNet:
        """From the released file. Raises ModelFileError where content or names are not its own.

        Files of PyTorch before 0.4.1 do not count batches; that count is not used here.
        """
        network = SyncNet()
        state = read_state(path)
        missing, foreign = network.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or foreign:
            raise unusable(
                path,
                f"it is not SyncNet v2: it lacks {missing or 'nothing'}, "
                f"and has {foreign or 'nothing'} besides",
            )
        return network.eval()

    def embed_pictures(self, bgr: torch.Tensor) -> torch.Tensor:
        """Float [B, 3, T, side, side] in 0..255 -> [B, T - 4, D], with gradients."""
        seen = self.netcnnlip(bgr)[..., 0, 0].transpose(1, 2)
        return self.netfclip(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])

    def embed_sounds(self, windows: torch.Tensor) -> torch.Tensor:
        """Cepstra [..., 13, 20] of int16's scale -> [..., D], with gradients."""
        heard = self.netcnnaud(windows.flatten(0, -3)[:, None])
        return self.netfcaud(heard.flatten(1)).unflatten(0, windows.shape[:-2])

    @torch.inference_mode()
    def see(self, crops: np.ndarray | Iterable[np.ndarray]) -> np.ndarray:
        """RGB crops uint8 [224, 224, 3] of T frames -> float32 [T - 4, 1024].

        Row f is the window of frames f .. f + 4. `crops` may be an array [T, 224, 224, 3] or
        yield one crop after another; no more than a chunk of it is held. Raises TypeError or
        ValueError for other crops; fewer than 5 give no row.
        """
        rows = [np.zeros((0, self.dimensions), np.float32)]
        for chunk in _chunks(crops, CHUNK_WINDOWS + WINDOW_FRAMES - 1, self.side_px):
            bgr = torch.from_numpy(np.ascontiguousarray(chunk[..., ::-1])).to(self._device())
            seen = self.embed_pictures(bgr.permute(3, 0, 1, 2)[None].float())
            rows.append(seen[0].float().cpu().numpy())
        return np.concatenate(rows)

    @torch.inference_mode()
    def hear(self, pcm: np.ndarray) -> np.ndarray:
        """int16 [N] at 16 kHz -> float32 [W, 1024]; row f begins with frame f, 40 f ms.

        W windows of 20 columns fit whole: N // 640 - 5, and one more where over 80 samples
        follow the last whole frame.
        """
        if len(pcm) == 0:
            return np.zeros((0, self.dimensions), np.float32)
        cepstra = torch.from_numpy(mfcc(pcm)).to(self._device())
        count = max((len(cepstra) - WINDOW_COLUMNS) // COLUMNS_PER_FRAME + 1, 0)
        rows = [np.zeros((0, self.dimensions), np.float32)]
        for low in range(0, count, CHUNK_SOUNDS):
            high = min(low + CHUNK_SOUNDS, count)
            windows = cepstra[low * COLUMNS_PER_FRAME :].unfold(
                0, WINDOW_COLUMNS, COLUMNS_PER_FRAME
            )
            heard = self.embed_sounds(windows[: high - low])
            rows.append(heard.float().cpu().numpy())
        return np.concatenate(rows)

    def measure(
        self, crops: np.ndarray | Iterable[np.ndarray], pcm: np.ndarray, vshift: int = VSHIFT
    ) -> Synchrony:
        """RGB crops of T frames and the sound that begins with them -> `Synchrony`.

        n = min(T, N // 640) - 5 windows are compared, one fewer than exist, as published.
        Raises ValueError if that leaves none.
        """
        frames = self.see(crops)
        count = min(len(frames) + WINDOW_FRAMES - 1, len(pcm) // SAMPLES_PER_FRAME) - 5
        if count < 1:
            raise ValueError("at least 6 frames and their sound are needed")
        return synchrony(frames[:count], self.hear(pcm)[:count], vshift)

    def _device(self) -> torch.device:
        return next(self.netfclip.parameters()).device


@dataclass(frozen=True)
class Synchrony:
    """What SyncNet says of one track."""

    offset_frames: int
    """-vshift .. vshift; > 0: the picture lags the sound. Times 40 it is ms."""
    min_distance: float
    """Least mean distance over the offsets; its mean over clips is LSE-D."""
    confidence: float
    """Median less least mean distance; its mean over clips is LSE-C."""
    distances: np.ndarray
    """float32 [n, 2 vshift + 1]: column j compares frame i with sound i + j - vshift."""

    @property
    def is_at_limit(self) -> bool:
        """The best offset is the last one searched: the true one may lie beyond."""
        return abs(self.offset_frames) == self.distances.shape[1] // 2

    def frame_confidence(self) -> np.ndarray:
        """Per window, float32 [n]: median mean distance less its own at the offset, median
        filtered over 9 with zeros beyond the ends, as published."""
        best = self.distances.shape[1] // 2 - self.offset_frames
        own = _lower_median(self.distances.mean(0)) - self.distances[:, best]
        return medfilt(own, 9).astype(np.float32)


def synchrony(seen: np.ndarray, heard: np.ndarray, vshift: int = VSHIFT) -> Synchrony:
    """Embeddings float32 [n, D] of pictures and of sound at the same times -> `Synchrony`.

    Offset, least distance and confidence by the published definition, including its vectors
    of zeros where the sound is shifted out of the track, and its 1e-6 inside the norm.
    Raises ValueError for unlike or empty inputs.
    """
    if seen.shape != heard.shape or seen.ndim != 2 or not len(seen):
        raise ValueError(f"unlike embeddings: {list(seen.shape)} and {list(heard.shape)}")
    if vshift < 1:
        raise ValueError(f"at least one frame of search is needed, not {vshift}")
    padded = torch.from_numpy(np.pad(heard, ((vshift, vshift), (0, 0))))
    pictures = torch.from_numpy(np.ascontiguousarray(seen))
    columns = [
        functional.pairwise_distance(pictures, padded[j : j + len(seen)]).numpy()
        for j in range(2 * vshift + 1)
    ]
    distances = np.stack(columns, 1)
    means = distances.mean(0)
    best = int(means.argmin())
    return Synchrony(
        vshift - best, float(means[best]), float(_lower_median(means) - means[best]), distances
    )


def _lower_median(values: np.ndarray) -> np.floating:
    return np.sort(values)[(len(values) - 1) // 2]


def _last_side(side_px: int) -> int:
    """What the face tower's convolutions and pools leave of a picture's side."""
    for kernel, stride, padding in ((7, 2, 0), (3, 2, 0), (5, 2, 1), (3, 2, 1), (3, 2, 0)):
        side_px = (side_px + 2 * padding - kernel) // stride + 1
    if side_px < 1:
        raise ValueError("pictures of 51 px or more are needed: the face tower leaves nothing else")
    return side_px


def _chunks(
    crops: np.ndarray | Iterable[np.ndarray], size: int, side_px: int
) -> Iterator[np.ndarray]:
    """Stacks of up to `size` crops, each repeating the last four of the one before."""
    held: list[np.ndarray] = []
    is_new = False
    for crop in crops:
        if crop.dtype != np.uint8:
            raise TypeError(f"crops must be uint8, not {crop.dtype}")
        if crop.shape != (side_px, side_px, 3):
            raise ValueError(f"crops must be [{side_px}, {side_px}, 3], not {list(crop.shape)}")
        held.append(crop)
        is_new = True
        if len(held) == size:
            yield np.stack(held)
            held, is_new = held[-(WINDOW_FRAMES - 1) :], False
    if is_new and len(held) >= WINDOW_FRAMES:
        yield np.stack(held)
