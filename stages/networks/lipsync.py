"""The landmark synchrony model: two small towers and their correlation over lags.

One tower maps seen speech (25 fps), the other heard speech (100 Hz) to 16 numbers; the lagged
correlation of the two over a window is the score of a lag, as in Niu & Mak's Eq. 1-2, here
normalised over the window so that windows compare. Several pairs of towers, trained from
different beginnings, vote: where they disagree the offset is not to be trusted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stages.networks import LIPSYNC_WEIGHTS
from stages.networks import lipsync_features as feat
from stages.networks.lag_curves import Basis, Peak, Reading, confidence, find_votes, pool, rhythm

STEP_MS = 10.0
HIDDEN, DIM, NUM_PIXEL_FEATURES = 48, 16, 24
SEEN_SIZE = feat.NUM_LIP_FEATURES + NUM_PIXEL_FEATURES
MIN_SOUND = 0.7
"""Share of a window's frames whose sound must exist at a lag that is scored."""
SHARE_POWER = 0.5
"""The correlation at a lag counts times that share to this power: chance alone correlates fewer
rows more, by the root of their number."""
SEARCH_MS = 700.0


def _block(inputs: int, outputs: int, kernel: int, dilation: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2 * dilation, dilation=dilation),
        nn.BatchNorm1d(outputs),
        nn.GELU(),
        nn.Dropout1d(dropout),
    )


class Towers(nn.Module):
    """`see` [B, 86, T] -> [B, 16, T]; `hear` [B, 40, N] -> [B, 16, N]."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.see = nn.Sequential(
            _block(SEEN_SIZE, HIDDEN, 3, 1, dropout),
            _block(HIDDEN, HIDDEN, 3, 1, dropout),
            nn.Conv1d(HIDDEN, DIM, 3, padding=1),
        )
        self.hear = nn.Sequential(
            _block(feat.NUM_BANDS, HIDDEN, 5, 1, dropout),
            _block(HIDDEN, HIDDEN, 5, 2, dropout),
            _block(HIDDEN, HIDDEN, 5, 3, dropout),
            nn.Conv1d(HIDDEN, DIM, 3, padding=1),
        )


def lag_correlation(
    seen: torch.Tensor, heard: torch.Tensor, exists: torch.Tensor, steps: int
) -> torch.Tensor:
    """Windows `seen` [B, K, T], sounds `heard` [C, K, 4 T + 2 steps] -> [B, C, 2 steps + 1].

    Column j is the lag (j - steps) * 10 ms; > 0: the picture is late. Sound row `steps` is the
    time of the first frame. Only rows that `exists` (0 or 1, [C, 4 T + 2 steps]) marks count,
    and both sides are centred over them, per lag.
    """
    batch, size, frames = seen.shape
    lags, sounds = 2 * steps + 1, len(heard)
    mask = exists[:, None]
    heard = heard * mask

    def slide(signal: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.conv1d(signal, weight, dilation=4)[:, :, :lags]

    ones = torch.ones(1, 1, frames)
    count = slide(mask, ones).clamp_min(1.0)
    product = slide(heard, seen)
    seen_sum = slide(mask, seen.reshape(batch * size, 1, frames)).reshape(sounds, batch, size, lags)
    heard_sum = slide(heard.reshape(sounds * size, 1, -1), ones).reshape(sounds, size, lags)
    seen_power = slide(mask, (seen**2).sum(1, keepdim=True))
    heard_power = slide((heard**2).sum(1, keepdim=True), ones)
    product = product - torch.einsum("cbkl,ckl->cbl", seen_sum, heard_sum) / count
    seen_norm = (seen_power - (seen_sum**2).sum(2) / count).clamp_min(1e-4).sqrt()
    heard_norm = (heard_power - (heard_sum**2).sum(1, keepdim=True) / count).clamp_min(1e-4)
    # A start one step later is a picture one step earlier: columns run against the lag.
    return (product / (seen_norm * heard_norm.sqrt())).transpose(0, 1).flip(2)


@dataclass
class LipSync:
    """The whole estimator: feature scales, towers, bias and calibration."""

    towers: list[Towers]
    lip_scale: np.ndarray
    """Deviation of each lip feature in the training data, float32 [62]."""
    pixels: np.ndarray
    """Principal components of mouth pictures over their deviation, float32 [1920, 24]."""
    temperature: float
    """Factor from correlation to log-odds, as learnt with the towers."""
    bias_ms: float = 0.0
    """Lag measured on synchronous training speakers; it is taken away."""
    calibration: np.ndarray | None = None
    facts: dict | None = None
    """Where the weights come from: recipe, data, held-out figures."""

    def seen_features(self, landmarks: np.ndarray, mouths: np.ndarray) -> np.ndarray:
        """Points [T, 68, 2] and mouth pictures uint8 [T, 40, 48] -> float32 [T, 86]."""
        pixels = feat.mouth_features(mouths) @ self.pixels
        return np.concatenate([feat.lip_features(landmarks) / self.lip_scale, pixels], 1)

    @torch.inference_mode()
    def see(self, features: np.ndarray) -> np.ndarray:
        """[T, 86] -> float32 [num towers, T, 16]."""
        x = torch.from_numpy(np.ascontiguousarray(features.T[None], np.float32))
        return np.stack([t.see(x)[0].T.numpy() for t in self.towers])

    @torch.inference_mode()
    def hear(self, mel: np.ndarray) -> np.ndarray:
        """[N, 40] -> float32 [num towers, N, 16]."""
        x = torch.from_numpy(np.ascontiguousarray(mel.T[None], np.float32))
        return np.stack([t.hear(x)[0].T.numpy() for t in self.towers])

    @torch.inference_mode()
    def curves(
        self, seen: np.ndarray, heard: np.ndarray, exists: np.ndarray, start: int, search_ms: float
    ) -> np.ndarray:
        """Correlation over lags of one window, float32 [num towers, 2 S + 1].

        `seen` [M, T, 16]; `heard` [M, N, 16], of which row `start` (may be negative) belongs to
        the first frame; `exists` bool [N] marks rows of real sound. NaN where too little exists.
        """
        steps, frames = round(search_ms / STEP_MS), seen.shape[1]
        rows = np.arange(start - steps, start + 4 * frames + steps)
        there = (rows >= 0) & (rows < heard.shape[1])
        window = np.zeros((len(heard), len(rows), DIM), np.float32)
        window[:, there] = heard[:, rows[there]]
        real = np.zeros(len(rows), np.float32)
        real[there] = exists[rows[there]]
        a = torch.from_numpy(np.ascontiguousarray(seen.transpose(0, 2, 1)))
        b = torch.from_numpy(np.ascontiguousarray(window.transpose(0, 2, 1)))
        mask = torch.from_numpy(real)[None]
        curves = np.stack(
            [lag_correlation(a[[m]], b[[m]], mask, steps)[0, 0].numpy() for m in range(len(a))]
        )
        windows = np.lib.stride_tricks.sliding_window_view(real, 4 * frames)[:, ::4]
        share = windows.mean(1)[: 2 * steps + 1][::-1]
        curves[:, share < MIN_SOUND] = np.nan
        return curves * share**SHARE_POWER

    def clip_reading(
        self,
        landmarks: np.ndarray,
        mouths: np.ndarray,
        pcm: np.ndarray,
        search_ms: float = SEARCH_MS,
    ) -> Reading | None:
        """What is said of a whole clip, curve float32 [num towers, 2 S + 1]: points [T, 68, 2],
        pictures [T, 40, 48], int16 [640 T].

        Clips longer than 3 s pool windows of 3 s, one a second. None for no frames.
        """
        seen = self.see(self.seen_features(landmarks, mouths))
        heard = self.hear(feat.log_mel(pcm))
        exists = np.ones(heard.shape[1], bool)
        length = len(landmarks)
        starts = sorted({*range(0, max(1, length - 74), 25), max(0, length - 75)})
        curves = [self.curves(seen[:, s : s + 75], heard, exists, 4 * s, search_ms) for s in starts]
        pooled = pool(curves, [1.0] * len(curves))
        if pooled is None:
            return None
        told = [rhythm(seen[:, s : s + 75], heard[:, 4 * s : 4 * s + 300 : 4]) for s in starts]
        return Reading(pooled, float(np.mean(told)))

    def clip_curve(
        self,
        landmarks: np.ndarray,
        mouths: np.ndarray,
        pcm: np.ndarray,
        search_ms: float = SEARCH_MS,
    ) -> np.ndarray | None:
        """The curve of `clip_reading`."""
        reading = self.clip_reading(landmarks, mouths, pcm, search_ms)
        return None if reading is None else reading.curve

    def peak(self, curve: np.ndarray) -> Peak | None:
        """The lag of a (pooled) curve [num towers, L], bias taken away; None for NaN alone."""
        return find_votes(curve, STEP_MS, self.temperature, -self.bias_ms)

    def confidence(self, curve: np.ndarray, basis: Basis) -> float:
        """Probability that the lag of a (pooled) curve is within 40 ms; 0 for NaN alone. Raises
        ValueError for an uncalibrated model."""
        if self.calibration is None:
            raise ValueError("the model is not calibrated")
        peak = self.peak(curve)
        return 0.0 if peak is None else confidence(peak, basis, self.calibration)

    def clip_peak(
        self,
        landmarks: np.ndarray,
        mouths: np.ndarray,
        pcm: np.ndarray,
        search_ms: float = SEARCH_MS,
    ) -> Peak | None:
        """The lag of a whole clip, as `clip_curve` takes it. None where nothing moves or sounds."""
        curve = self.clip_curve(landmarks, mouths, pcm, search_ms)
        return None if curve is None else self.peak(curve)

    def save(self, path: Path) -> None:
        """Write safetensors. Raises ValueError for an uncalibrated model."""
        from safetensors.numpy import save_file

        if self.calibration is None:
            raise ValueError("calibrate the model before it is saved")
        arrays = {
            "lip_scale": self.lip_scale,
            "pixels": self.pixels,
            "calibration": self.calibration,
            "scalars": np.array([self.temperature, self.bias_ms]),
        }
        for i, towers in enumerate(self.towers):
            for name, value in towers.state_dict().items():
                if not name.endswith("num_batches_tracked"):
                    arrays[f"towers.{i}.{name}"] = value.numpy()
        # safetensors writes the memory as it lies: a transposed view would come back scrambled.
        save_file(
            {n: np.ascontiguousarray(a, np.float32) for n, a in arrays.items()},
            path,
            metadata={"facts": json.dumps(self.facts or {}, sort_keys=True)},
        )
        path.chmod(0o644)

    @staticmethod
    def load(path: Path = LIPSYNC_WEIGHTS) -> LipSync:
        """Raises FileNotFoundError; KeyError for a file of another model."""
        from safetensors import safe_open

        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
        towers: list[Towers] = []
        while any(n.startswith(f"towers.{len(towers)}.") for n in arrays):
            prefix = f"towers.{len(towers)}."
            state = {
                n[len(prefix) :]: torch.from_numpy(a)
                for n, a in arrays.items()
                if n.startswith(prefix)
            }
            tower = Towers()
            missing, unexpected = tower.load_state_dict(state, strict=False)
            if unexpected or any(not m.endswith("num_batches_tracked") for m in missing):
                raise KeyError(f"{path} is of another model")
            towers.append(tower.eval())
        temperature, bias_ms = arrays["scalars"].astype(float)
        return LipSync(
            towers,
            arrays["lip_scale"],
            arrays["pixels"],
            float(temperature),
            float(bias_ms),
            arrays["calibration"],
            facts,
        )
