"""The landmark synchrony model without torch: what a worker runs, in NumPy.

The arithmetic of `lipsync`, which trains it; tests/stages/test_lipsync_inference.py holds both
equal. A worker that asks no other network then never loads torch, which takes longer than to see
a short video.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import erf

from stages.networks import LIPSYNC_WEIGHTS
from stages.networks import lipsync_features as feat
from stages.networks.lag_curves import Peak, find_votes

STEP_MS, MIN_SOUND, SHARE_POWER, EPSILON = 10.0, 0.7, 0.5, 1e-5
DILATIONS = {"see": (1, 1), "hear": (1, 2, 3)}
"""Of the blocks of each tower; a plain convolution follows them."""


@dataclass(frozen=True)
class Layer:
    """A convolution over time with its normalization in it: `weights` [out, kernel * in]."""

    weights: np.ndarray
    bias: np.ndarray
    kernel: int
    dilation: int

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        """[in, T] -> [out, T]."""
        reach, length = self.kernel // 2 * self.dilation, signal.shape[1]
        padded = np.pad(signal, ((0, 0), (reach, reach)))
        taps = [padded[:, d : d + length] for d in range(0, 2 * reach + 1, self.dilation)]
        return self.weights @ np.concatenate(taps) + self.bias[:, None]


@dataclass(frozen=True)
class LipSyncInference:
    """Attributes as those of `lipsync.LipSync`; `towers` are the layers of each pair."""

    towers: list[dict[str, list[Layer]]]
    lip_scale: np.ndarray
    pixels: np.ndarray
    temperature: float
    bias_ms: float
    calibration: np.ndarray

    @staticmethod
    def load(path: Path = LIPSYNC_WEIGHTS) -> LipSyncInference:
        """Raises FileNotFoundError; KeyError for a file of another model."""
        from safetensors import safe_open

        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        towers: list[dict[str, list[Layer]]] = []
        while any(name.startswith(f"towers.{len(towers)}.") for name in arrays):
            prefix = f"towers.{len(towers)}."
            own = {n[len(prefix) :]: a for n, a in arrays.items() if n.startswith(prefix)}
            towers.append({side: _layers(own, side) for side in DILATIONS})
            if own:
                raise KeyError(f"{path} is of another model: it has {min(own)}")
        temperature, bias_ms = arrays["scalars"].astype(float)
        return LipSyncInference(
            towers,
            arrays["lip_scale"],
            arrays["pixels"],
            float(temperature),
            float(bias_ms),
            arrays["calibration"],
        )

    def seen_features(self, landmarks: np.ndarray, mouths: np.ndarray) -> np.ndarray:
        """Points [T, 68, 2] and mouth pictures uint8 [T, 40, 48] -> float32 [T, 86]."""
        pixels = feat.mouth_features(mouths) @ self.pixels
        return np.concatenate([feat.lip_features(landmarks) / self.lip_scale, pixels], 1)

    def see(self, features: np.ndarray) -> np.ndarray:
        """[T, 86] -> float32 [num towers, T, 16]."""
        return self._run("see", features)

    def hear(self, mel: np.ndarray) -> np.ndarray:
        """[N, 40] -> float32 [num towers, N, 16]."""
        return self._run("hear", mel)

    def _run(self, side: str, features: np.ndarray) -> np.ndarray:
        made = []
        for tower in self.towers:
            signal = np.ascontiguousarray(features.T, np.float32)
            for layer in tower[side][:-1]:
                signal = layer(signal)
                signal = signal * (np.float32(0.5) + np.float32(0.5) * erf(signal * _ROOT_HALF))
            made.append(tower[side][-1](signal).T)
        return np.stack(made)

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
        real = np.zeros(len(rows), np.float32)
        real[there] = exists[rows[there]]
        made = []
        for one_seen, one_heard in zip(seen, heard, strict=True):
            window = np.zeros((one_heard.shape[1], len(rows)), np.float32)
            window[:, there] = one_heard[rows[there]].T
            made.append(lag_correlation(one_seen.T, window, real, 2 * steps + 1))
        curves = np.stack(made)
        windows = np.lib.stride_tricks.sliding_window_view(real, 4 * frames)[:, ::4]
        share = windows.mean(1)[: 2 * steps + 1][::-1]
        curves[:, share < MIN_SOUND] = np.nan
        return curves * share**SHARE_POWER

    def peak(self, curve: np.ndarray) -> Peak | None:
        """The lag of a (pooled) curve [num towers, L], bias taken away; None for NaN alone."""
        return find_votes(curve, STEP_MS, self.temperature, -self.bias_ms)


_ROOT_HALF = np.float32(np.sqrt(0.5))


def _layers(arrays: dict[str, np.ndarray], side: str) -> list[Layer]:
    """Takes a tower's arrays out of `arrays`. Raises KeyError."""
    made = []
    for number, dilation in enumerate(DILATIONS[side]):
        name = f"{side}.{number}"
        weights, bias = arrays.pop(f"{name}.0.weight"), arrays.pop(f"{name}.0.bias")
        scale = arrays.pop(f"{name}.1.weight") / np.sqrt(
            arrays.pop(f"{name}.1.running_var") + EPSILON
        )
        bias = (bias - arrays.pop(f"{name}.1.running_mean")) * scale + arrays.pop(f"{name}.1.bias")
        made.append(_layer(weights * scale[:, None, None], bias, dilation))
    last = f"{side}.{len(DILATIONS[side])}"
    made.append(_layer(arrays.pop(f"{last}.weight"), arrays.pop(f"{last}.bias"), 1))
    return made


def _layer(weights: np.ndarray, bias: np.ndarray, dilation: int) -> Layer:
    """Of a convolution's weights [out, in, kernel]."""
    flat = np.ascontiguousarray(weights.transpose(0, 2, 1).reshape(len(weights), -1), np.float32)
    return Layer(flat, bias.astype(np.float32), weights.shape[2], dilation)


def lag_correlation(
    seen: np.ndarray, heard: np.ndarray, exists: np.ndarray, lags: int
) -> np.ndarray:
    """`lipsync.lag_correlation` of one window [K, T] and one sound [K, 4 T + lags - 1], of which
    `exists` [4 T + lags - 1] marks what counts: float32 [lags]."""
    heard = heard * exists
    mask, ones = exists[None], np.ones((1, seen.shape[1]), np.float32)
    count = np.maximum(_slide(mask, ones, lags)[0], 1)
    product = _slide(heard, seen, lags).sum(0)
    seen_sum = _slide(np.broadcast_to(mask, heard.shape), seen, lags)
    heard_sum = _slide(heard, np.broadcast_to(ones, seen.shape), lags)
    seen_power = _slide(mask, (seen**2).sum(0, keepdims=True), lags)[0]
    heard_power = _slide((heard**2).sum(0, keepdims=True), ones, lags)[0]
    product = product - (seen_sum * heard_sum).sum(0) / count
    seen_norm = np.maximum(seen_power - (seen_sum**2).sum(0) / count, 1e-4)
    heard_norm = np.maximum(heard_power - (heard_sum**2).sum(0) / count, 1e-4)
    return (product / np.sqrt(seen_norm * heard_norm))[::-1].astype(np.float32)


def _slide(signal: np.ndarray, weight: np.ndarray, lags: int) -> np.ndarray:
    """[K, N] under [K, T] at every lag, four samples of the one to a step of the other: [K, lags].

    The samples of each of the four phases lie apart, so that a window is a plain row of them.
    """
    made = np.empty((len(signal), lags), np.float32)
    for phase in range(min(4, lags)):
        count = len(range(phase, lags, 4))
        own = np.ascontiguousarray(signal[:, phase::4])
        windows = np.lib.stride_tricks.sliding_window_view(own, weight.shape[1], 1)[:, :count]
        made[:, phase::4] = np.matmul(np.ascontiguousarray(windows), weight[..., None])[..., 0]
    return made
