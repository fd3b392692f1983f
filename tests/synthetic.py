"""Files with known truth: at each true time u the picture switches and a tone burst sounds.

The picture switches on the first source frame with PTS >= u, as a camera would show it. The
tone burst is an analytic function of time, so it can be drawn at any sample rate and compared
below one sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

DARK, BRIGHT = 40, 210
TICK = Fraction(1, 360_000)


def beat_s(rate: Fraction) -> Fraction:
    """Time after which a source rate and 25 fps stand in the same phase, in whole seconds or,
    for NTSC rates, 40.04 s."""
    return Fraction(1001, 25) if rate.denominator == 1001 else Fraction(25)


def event_times_s(rate: Fraction, cycles: int = 2, start_s: float = 0.61) -> list[float]:
    """About four events a second that take evenly spread phases of `rate` against 25 fps.

    Over one beat they take every phase once (101, or 161 for NTSC rates), and each further
    cycle repeats the phases exactly, so that a difference between cycles is a trend.
    """
    count = 161 if rate.denominator == 1001 else 101
    step = beat_s(rate) / count
    return [start_s + float(i * step) for i in range(count * cycles)]


def constant_pts_s(rate: Fraction, duration_s: float, start_s: float = 0.0) -> list[Fraction]:
    """Presentation times of a constant frame rate."""
    count = int(duration_s * rate)
    return [Fraction(start_s).limit_denominator(90_000) + i / rate for i in range(count)]


def tone_bursts(
    times_s: Sequence[float], sample_rate: int, duration_s: float, start_s: float = 0.0
) -> np.ndarray:
    """float64 [N] from `start_s` on: a 1.5 kHz burst of 2 ms around each time."""
    t = start_s + np.arange(round(duration_s * sample_rate)) / sample_rate
    signal = np.zeros(len(t))
    for u in times_s:
        low, high = np.searchsorted(t, [u - 0.02, u + 0.02])
        d = t[low:high] - u
        signal[low:high] += 0.6 * np.exp(-((d / 0.002) ** 2)) * np.cos(2 * np.pi * 1500 * d)
    return signal


@dataclass(frozen=True)
class EventFile:
    """What to write. Times are true times: PTS of the file, up to a shift of both streams."""

    pts_s: Sequence[Fraction]
    times_s: Sequence[float]
    audio_start_s: float = 0.0
    audio_duration_s: float | None = None
    sample_rate: int = 16000
    container: str = "mp4"
    video_codec: str = "libx264"
    audio_codec: str = "aac"
    channels: int = 1
    video_options: dict = field(default_factory=dict)
    container_options: dict = field(default_factory=dict)
    size: tuple[int, int] = (64, 48)
    pixel_format: str = "yuv420p"


def write_events(path: Path, spec: EventFile) -> Path:
    """Encode `spec` to `path`."""
    options = (
        {"preset": "ultrafast", "tune": "zerolatency"} if spec.video_codec == "libx264" else {}
    )
    if spec.video_options:
        options = spec.video_options
    with av.open(str(path), "w", format=spec.container, options=spec.container_options) as out:
        rate = 1 / (spec.pts_s[1] - spec.pts_s[0])
        video = out.add_stream(spec.video_codec, rate=rate, options=options)
        video.width, video.height, video.pix_fmt = *spec.size, spec.pixel_format
        if spec.container not in ("avi",) and spec.video_codec not in ("mpeg1video", "mpeg4"):
            video.codec_context.time_base = TICK
        audio = out.add_stream(
            spec.audio_codec,
            rate=spec.sample_rate,
            layout="mono" if spec.channels == 1 else "stereo",
        )
        packets = list(_video_packets(video, spec)) + list(_audio_packets(audio, spec))
        packets.sort(key=lambda p: (p.dts if p.dts is not None else p.pts) * p.time_base)
        for packet in packets:
            out.mux(packet)
    return path


def _video_packets(stream, spec: EventFile):
    base = stream.codec_context.time_base or TICK
    times = np.sort(np.asarray(spec.times_s))
    width, height = spec.size
    frames = {}
    for value in (DARK, BRIGHT):
        picture = np.full((height * 3 // 2, width), 128, np.uint8)
        picture[:height] = value
        frames[value] = av.VideoFrame.from_ndarray(picture, format="yuv420p").reformat(
            format=spec.pixel_format
        )
    for pts in spec.pts_s:
        seen = int(np.searchsorted(times, float(pts) + 1e-9, side="right"))
        frame = frames[BRIGHT if seen % 2 else DARK]
        frame.pict_type = 0
        frame.pts, frame.time_base = round(pts / base), base
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _audio_packets(stream, spec: EventFile):
    rate = spec.sample_rate
    duration_s = spec.audio_duration_s
    if duration_s is None:
        duration_s = float(spec.pts_s[-1]) - spec.audio_start_s
    signal = tone_bursts(spec.times_s, rate, duration_s, spec.audio_start_s)
    first = round(spec.audio_start_s * rate)
    context = stream.codec_context
    context.open()
    size = context.frame_size or 1024
    for start in range(0, len(signal), size):
        block = np.round(signal[start : start + size] * 32767).astype(np.int16)
        block = np.repeat(block[:, None], spec.channels, 1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            block, format="s16", layout="mono" if spec.channels == 1 else "stereo"
        )
        frame.sample_rate, frame.pts = rate, first + start
        frame.time_base = Fraction(1, rate)
        for piece in av.AudioResampler(context.format, context.layout, rate).resample(frame):
            piece.pts, piece.time_base = first + start, Fraction(1, rate)
            yield from stream.encode(piece)
    yield from stream.encode(None)


def switch_frames(luma_means: Sequence[float]) -> list[int]:
    """Index of each frame whose brightness state differs from the one before."""
    state = np.asarray(luma_means) > (DARK + BRIGHT) / 2
    return [int(i) + 1 for i in np.flatnonzero(state[1:] != state[:-1])]


def audio_shift_samples(heard: np.ndarray, wanted: np.ndarray, search: int = 2400) -> float:
    """How many samples `heard` is late against `wanted`, with parabolic interpolation."""
    n = min(len(heard), len(wanted))
    size = 1 << (2 * n - 1).bit_length()
    a, b = np.fft.rfft(heard[:n].astype(float), size), np.fft.rfft(wanted[:n], size)
    c = np.fft.irfft(a * np.conj(b), size)
    c = np.concatenate([c[-search:], c[: search + 1]])
    k = int(np.argmax(c))
    if 0 < k < len(c) - 1:
        left, mid, right = c[k - 1], c[k], c[k + 1]
        return k - search + 0.5 * (left - right) / (left - 2 * mid + right)
    return float(k - search)
