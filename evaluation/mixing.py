"""From a decoder's frames to one channel of floats, each frame looked at first."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from manifests.media.float_sound import frame_of, is_float, samples_of

CANCELLED = 1e-6
"""The mix holds less than this share of the power of a channel: the phases are opposite."""


class Mixer:
    """Mixes the frames of one file, in order.

    Layouts that libswresample knows are mixed by its matrix, scaled so that full scale in all
    channels stays full scale; others equally. Sound of floats is mixed in floats: nothing is
    clipped, and a sample that is NaN or infinite raises ValueError before anything is done.
    """

    def __init__(self, path: Path, channel: int | None = None) -> None:
        self._path, self._channel = path, channel
        self._shape: tuple | None = None
        self._integers: av.AudioResampler | None = None
        self._weights = np.zeros(0, np.float32)
        self._num = 0
        self._sums = self._squares = np.zeros(0)

    def mono(self, frame: av.AudioFrame) -> np.ndarray:
        """float32 [N]: full scale is 1, and floats may go beyond."""
        samples = samples_of(frame)
        if is_float(frame):
            self._check_finite(samples, frame.sample_rate)
        shape = frame.sample_rate, frame.format.name, frame.layout.name, len(samples)
        if shape != self._shape:
            self._set_up(frame, len(samples))
            self._shape = shape
        if self._channel is not None and self._channel < len(samples):
            mixed = samples[self._channel].astype(np.float32)
        elif self._integers is not None:
            parts = [p.to_ndarray()[0] for p in self._integers.resample(frame)]
            mixed = np.concatenate(parts).astype(np.float32) / np.float32(2**31)
        else:
            with np.errstate(over="ignore"):  # looked at when all is together
                mixed = (self._weights.astype(samples.dtype) @ samples).astype(np.float32)
        self._count(samples, mixed)
        return mixed

    def cancelled(self) -> int | None:
        """The loudest channel where the mix of all has next to no power; else None."""
        if len(self._sums) < 3 or self._num == 0:
            return None
        power = self._squares / self._num - (self._sums / self._num) ** 2
        loudest = int(power[:-1].argmax())
        return loudest if power[-1] < CANCELLED * power[loudest] else None

    def _check_finite(self, samples: np.ndarray, rate: int) -> None:
        finite = np.isfinite(samples).all(axis=0)
        if not finite.all():
            first = self._num + int(np.argmin(finite))
            raise ValueError(
                f"{self._path} holds samples that are no finite number (NaN or "
                f"infinite), the first at {first / rate:.3f} s"
            )

    def _set_up(self, frame: av.AudioFrame, count: int) -> None:
        self._integers, weights = None, weights_of(frame.layout.name, count)
        if not is_float(frame) and count > 1 and weights is not None:
            # Integers are mixed by libswresample as a whole, as they always were.
            self._integers = av.AudioResampler("s32", "mono", frame.sample_rate)
        self._weights = np.full(count, 1 / count, np.float32) if weights is None else weights
        self._sums = self._squares = np.zeros(count + 1)
        self._num = 0

    def _count(self, samples: np.ndarray, mixed: np.ndarray) -> None:
        self._num += samples.shape[1]
        if len(samples) > 1:
            both = np.vstack([samples, mixed[None]]).astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                self._sums = self._sums + both.sum(axis=1)
                self._squares = self._squares + (both**2).sum(axis=1)


def weights_of(layout: str, count: int) -> np.ndarray | None:
    """Each channel's share in libswresample's mix to mono, float32 [C]; None where it has none.

    Read from the mix of an identity matrix, in which every sample belongs to one channel.
    """
    if count == 1:
        return np.ones(1, np.float32)
    try:
        frame = frame_of(np.eye(count, dtype=np.float32), layout, 16000)
        parts = av.AudioResampler("flt", "mono", 16000).resample(frame)
        weights = np.concatenate([part.to_ndarray()[0] for part in parts])
    except (av.FFmpegError, ValueError):
        return None
    if len(weights) != count or not np.any(weights):
        return None
    return weights / np.float32(max(1.0, float(np.abs(weights).sum())))
