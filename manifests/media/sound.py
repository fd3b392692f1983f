"""Sound on the canonical clock: 16 kHz mono, placed by timestamp and not by counting samples.

The decoder drops priming and the demuxer applies edit lists, so a decoded block's timestamp is
the true time of its first sample. Timestamps jitter, though (Matroska rounds to milliseconds,
browsers stamp by wall clock), and damaged packets leave holes. Blocks are therefore laid end to
end as long as the median deviation over the next blocks stays under a tolerance: jitter has a
median near zero, a lost packet or an overlap moves every block after it and is mended at once,
by the exact amount.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from statistics import median_low
from typing import NamedTuple

import av
import numpy as np

from manifests.clock import FRAME_RATE, SAMPLE_RATE
from manifests.media.float_sound import in_range
from manifests.media.mix import Mono
from manifests.media.streams import open_media, packets_of, stream_of
from manifests.records import Video

WIDE_RATE = 48_000
"""Of sound whose own rate gives a frame no whole number of samples."""
GATHERED_SAMPLES = 16_384
LOOK_AHEAD_BLOCKS = 9
TOLERANCE_US = 1500
"""Deviation that is taken for rounding: a Matroska tick is 1000 us."""


def read_audio(
    video: Video,
    path: str | Path | None = None,
    start_sample: int = 0,
    end_sample: int | None = None,
    *,
    full_scale: float = 1.0,
    rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Samples `[start_sample, end_sample)` on the canonical clock: int16 [N], mono, at `rate`.

    Gaps and what lies beyond the recording are silence, overlaps are cut. `end_sample` defaults
    to the end of the video. Decoding begins at the file's beginning, so that a part is bit for
    bit the same as in the whole. Float samples of `full_scale` become the largest integers;
    those that are no finite number are silence.
    """
    path = video.media_path if path is None else path
    if end_sample is None:
        end_sample = round(video.num_frames * rate / Fraction(video.frame_rate))
    output = np.zeros(max(0, end_sample - start_sample), np.int16)
    position = 0
    for block in _resampled(video, path, full_scale, rate):
        low, high = max(position, start_sample), min(position + len(block), end_sample)
        if low < high:
            output[low - start_sample : high - start_sample] = block[
                low - position : high - position
            ]
        position += len(block)
        if position >= end_sample:
            break
    return output


_kept: tuple[tuple, np.ndarray] | None = None
KEPT_SAMPLES = 3600 * SAMPLE_RATE


def read_whole(video: Video, path: str | Path) -> np.ndarray:
    """All of a video's sound as `read_audio` gives it, not to be written into. What was read last
    is kept, up to an hour of it: several stages of one video ask one after another."""
    global _kept
    facts = Path(path).stat()
    key = (str(path), facts.st_mtime_ns, facts.st_size, repr(video))
    kept = _kept
    if kept is not None and kept[0] == key:
        return kept[1]
    pcm = read_audio(video, path)
    pcm.setflags(write=False)
    _kept = (key, pcm) if len(pcm) <= KEPT_SAMPLES else None
    return pcm


def wide_rate(video: Video, path: str | Path) -> int:
    """The rate of the sound as it is kept above 16 kHz: the stream's own, where that gives a frame
    a whole number of samples and is no less than 16 kHz; else 48 kHz, or 16 where it is less."""
    with open_media(path) as container:
        own = stream_of(container, video.audio_stream).rate
    if own <= SAMPLE_RATE:
        return SAMPLE_RATE
    return own if Fraction(own) % FRAME_RATE == 0 else WIDE_RATE


def _resampled(
    video: Video, path: str | Path, full_scale: float, wanted: int
) -> Iterator[np.ndarray]:
    """int16 blocks at the `wanted` rate, contiguous from canonical zero. libswresample pads its
    filter, so resampling adds no delay."""
    resampler: av.AudioResampler | None = None
    rate, total, written = 0, Fraction(0), 0
    for samples, block_rate in _gathered(_placed(video, path, full_scale)):
        if resampler is None or block_rate != rate:
            if resampler is not None:  # a stream that changes its rate: settle the old one
                tail = _drained(resampler)[: max(0, round(total) - written)]
                tail = np.pad(tail, (0, max(0, round(total) - written - len(tail))))
                written += len(tail)
                yield tail
            resampler, rate = av.AudioResampler("s16", "mono", wanted), block_rate
        total += Fraction(len(samples) * wanted, rate)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for out in resampler.resample(frame):
            block = out.to_ndarray()[0]
            written += len(block)
            yield block
    if resampler is not None:
        yield _drained(resampler)


def _gathered(blocks: Iterator[tuple[np.ndarray, int]]) -> Iterator[tuple[np.ndarray, int]]:
    """The same sound in fewer, longer blocks of one rate: a decoder's are of 20 ms, and the calls
    for each cost more than the samples."""
    held: list[np.ndarray] = []
    count, rate = 0, 0
    for samples, block_rate in blocks:
        if held and (block_rate != rate or count >= GATHERED_SAMPLES):
            yield np.concatenate(held), rate
            held, count = [], 0
        held.append(samples)
        count, rate = count + len(samples), block_rate
    if held:
        yield np.concatenate(held), rate


def _drained(resampler: av.AudioResampler) -> np.ndarray:
    blocks = [out.to_ndarray()[0] for out in resampler.resample(None)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)


def _placed(
    video: Video, path: str | Path, full_scale: float = 1.0
) -> Iterator[tuple[np.ndarray, int]]:
    """Mono float32 blocks at the native rate, contiguous from canonical zero."""
    waiting: deque = deque()
    cursor, rate, begun = 0, None, False
    blocks = _blocks(video, path, full_scale)
    while True:
        while len(waiting) < LOOK_AHEAD_BLOCKS and (block := next(blocks, None)) is not None:
            waiting.append(block)
        if not waiting:
            return
        samples, _, block_rate = waiting[0]
        if rate is not None and block_rate != rate:
            cursor = round(Fraction(cursor * block_rate, rate))
        rate = block_rate
        off = _deviation(waiting, cursor, rate, begun)
        waiting.popleft()
        if off is not None and (not begun or abs(off) * 1_000_000 > TOLERANCE_US * rate):
            if off > 0:
                yield from _silence(off, rate)
                cursor += off
            elif off < 0:
                samples = samples[-off:]
        if len(samples):
            begun = True
            cursor += len(samples)
            yield samples, rate


def _deviation(waiting: deque, cursor: int, rate: int, begun: bool) -> int | None:
    """How many samples the first waiting block is late against `cursor`, judged with the blocks
    after it. A stream that begins with the video begins there exactly: in WebM the stamps after
    that are half a tick late, because Opus priming (6.5 ms) is no whole number of ticks."""
    offs, end = [], cursor
    for samples, at, block_rate in waiting:
        if block_rate != rate:
            break
        if at is not None:
            offs.append(at.sample - end)
        end += len(samples)
    if waiting[0][1] is None or not offs:
        return None
    first, slack = offs[0], TOLERANCE_US * rate / 1_000_000
    if all(abs(off - first) <= slack for off in offs):
        return 0 if not begun and waiting[0][1].is_zero else median_low(offs)
    # A break further on must not move this block.
    if abs(first) <= slack and begun:
        return 0
    agreeing = [off for off in offs[:3] if abs(off - first) <= slack]
    # A single outlier is jitter: what the blocks around it say counts.
    return median_low(agreeing) if len(agreeing) > 1 else median_low(offs)


class _Place(NamedTuple):
    """Where a block's stamp puts its first sample, counted from canonical zero at its own rate."""

    sample: int
    is_zero: bool
    """The stamp is exactly canonical zero."""


def _place(pts: int, base: Fraction, shift_us: int, rate: int) -> _Place:
    """Of a stamp moved by `shift_us`; exact, in whole numbers: a Fraction for each block of 20 ms
    would cost as much as to decode it."""
    numerator = pts * base.numerator * 1_000_000 + shift_us * base.denominator
    denominator = base.denominator * 1_000_000
    sample, rest = divmod(numerator * rate, denominator)
    # As `round`: halves to the even one.
    sample += 2 * rest > denominator or (2 * rest == denominator and sample % 2 == 1)
    return _Place(sample, numerator == 0)


def _blocks(
    video: Video, path: str | Path, full_scale: float
) -> Iterator[tuple[np.ndarray, _Place | None, int]]:
    """Decoded blocks: float32 [N] mono, their place, sample rate."""
    starts = dict(zip(video.jump_packets, video.jump_shifts_us, strict=True))
    shift_us = 0
    to_mono: Mono | None = None
    shape: tuple[int, str, str] | None = None
    with open_media(path) as container:
        stream: av.AudioStream = stream_of(container, video.audio_stream)
        packets = packets_of(container, stream)
        number = -1
        while True:
            try:
                packet = next(packets)
                number += packet.size > 0
                if number in starts:
                    shift_us = starts[number]
                frames = packet.decode()
            except (StopIteration, av.error.EOFError):
                return
            except av.FFmpegError:
                continue  # damaged: what follows is placed by its timestamp
            for frame in (in_range(frame, full_scale) for frame in frames):
                now = (frame.sample_rate, frame.format.name, frame.layout.name)
                if to_mono is None or now != shape:
                    to_mono, shape = Mono(frame, video.audio_channel), now
                pts, base = frame.pts, frame.time_base
                samples = to_mono(frame)
                if samples is None:
                    continue
                place = (
                    None
                    if pts is None or base is None
                    else _place(pts, base, shift_us - video.zero_us, frame.sample_rate)
                )
                yield samples, place, frame.sample_rate


def _silence(count: int, rate: int) -> Iterator[tuple[np.ndarray, int]]:
    while count > 0:
        block = min(count, rate)
        yield np.zeros(block, np.float32), rate
        count -= block


def shifted(pcm: np.ndarray, lag_samples: int) -> np.ndarray:
    """Sound [N] that suits pictures which came late by a lag: later by as much, same length.

    What moves in from outside the recording is silence.
    """
    made = np.zeros_like(pcm)
    if lag_samples > 0:
        made[lag_samples:] = pcm[:-lag_samples]
    elif lag_samples < 0:
        made[:lag_samples] = pcm[-lag_samples:]
    else:
        made[:] = pcm
    return made
