"""Sound of floats, looked at before it becomes integers.

A sample of floating point may be NaN, infinite or beyond full scale. A conversion to integers
makes full scale of the first two and clips the third, and afterwards nobody can tell. So frames
are looked at here, as the decoder gives them.
"""

from __future__ import annotations

import av
import numpy as np

FLOATS = ("flt", "dbl")
PLANES = 8


def is_float(frame: av.AudioFrame) -> bool:
    """Whether the decoder gives samples of floating point (float PCM, AAC, MP3, Opus, Vorbis)."""
    return frame.format.packed.name in FLOATS


def samples_of(frame: av.AudioFrame) -> np.ndarray:
    """Samples as floats on the scale where full scale is 1: [C, N], float64 for 64-bit formats,
    else float32. Nothing is clipped; NaN and infinity stay."""
    count = len(frame.layout.channels)
    if frame.format.is_planar and count >= PLANES:
        # PyAV looks for the end of the list of planes, which has none from eight on.
        packed = av.AudioResampler(frame.format.packed.name, frame.layout, frame.sample_rate)
        raw = np.concatenate([part.to_ndarray() for part in packed.resample(frame)], axis=1)
    else:
        raw = frame.to_ndarray()
    if len(raw) != count:
        raw = raw.reshape(-1, count).T
    if is_float(frame):
        return raw
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128) / 128
    scale = 2.0 ** (8 * raw.dtype.itemsize - 1)
    kind: np.dtype = np.dtype(np.float64 if raw.dtype.itemsize == 8 else np.float32)
    return raw.astype(kind) / kind.type(scale)


def in_range(frame: av.AudioFrame, full_scale: float = 1.0) -> av.AudioFrame:
    """The frame as it may be converted to integers: floats divided by `full_scale` (a power of
    two changes nothing but the exponent), those that are no finite number silenced, as a damaged
    packet's are. The same frame where there is nothing to do; integers are never touched."""
    if not is_float(frame):
        return frame
    samples = samples_of(frame)
    finite = np.isfinite(samples)
    if full_scale == 1 and finite.all():
        return frame
    samples = np.where(finite, samples, 0) / samples.dtype.type(full_scale)
    made = frame_of(samples, frame.layout.name, frame.sample_rate)
    made.pts, made.time_base = frame.pts, frame.time_base
    return made


def frame_of(samples: np.ndarray, layout: str, rate: int) -> av.AudioFrame:
    """A frame of packed floats from [C, N]."""
    name = "dbl" if samples.dtype == np.float64 else "flt"
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples.T).reshape(1, -1), format=name, layout=layout
    )
    frame.sample_rate = rate
    return frame
