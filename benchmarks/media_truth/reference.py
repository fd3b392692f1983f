"""The second truth: pictures and samples as the ffmpeg program decodes and stamps them.

It is the program inside imageio-ffmpeg, another release than the libraries inside PyAV, and
nothing here goes through PyAV. Stamps are kept as the file has them (`-copyts`), no picture is
repeated or dropped (`-fps_mode passthrough`), and pictures are turned as ffmpeg turns them.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from scipy.signal import resample_poly

from manifests.clock import SAMPLE_RATE

TIME_BASE = re.compile(r"\[Parsed_showinfo\S* @ \S+\] config in time_base: (\d+)/(\d+)")
PICTURE = re.compile(r"\[Parsed_showinfo\S* @ \S+\] n:\s*\d+ pts:\s*(-?\d+|NOPTS)")
BLOCK = re.compile(
    r"\[Parsed_ashowinfo\S* @ \S+\] n:\d+ pts:(-?\d+|NOPTS) .* rate:(\d+) "
    r"nb_samples:(\d+)"
)
SLACK_S = 0.0015
"""A block this near to the end of the last one follows it: stamps of whole milliseconds."""
TIMEOUT_S = 120


class ReferenceFailed(RuntimeError):
    """ffmpeg gave nothing that could be compared."""


@dataclass(frozen=True)
class Pictures:
    """All pictures of a stream as shown, in order."""

    times_us: list[Fraction]
    rgb: np.ndarray
    """uint8 [N, H, W, 3]"""


@dataclass(frozen=True)
class Heard:
    """A stretch of sound."""

    pcm: np.ndarray
    """float64 [N] at 16 kHz in the unit of int16, silent where nothing was decoded."""
    start_us: Fraction
    end_us: Fraction
    """The file's own time of the first sample that was decoded, and of the end of the last."""


def ffmpeg(*arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run ffmpeg without a terminal. Raises ReferenceFailed with its last words."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-hide_banner",
        "-nostdin",
        "-nostats",
        "-y",
        "-threads",
        "1",
        *arguments,
    ]
    # The static program falls over the C library's character tables, which it would load for
    # the names of programmes in MPEG-TS; without them it goes on.
    run = subprocess.run(
        command,
        capture_output=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "GCONV_PATH": os.devnull},
    )
    if check and run.returncode:
        raise ReferenceFailed(run.stderr.decode(errors="replace")[-600:])
    return run


def decode_pictures(path: Path, stream: str, width_px: int, height_px: int) -> Pictures:
    """Pictures of `stream` (as "0:v:0"), upright, at the given size."""
    run = ffmpeg(
        "-copyts",
        "-i",
        str(path),
        "-map",
        stream,
        "-fps_mode",
        "passthrough",
        "-vf",
        f"scale={width_px}:{height_px}:flags=bilinear+accurate_rnd,setsar=1,"
        "format=rgb24,showinfo=checksum=0",
        "-f",
        "rawvideo",
        "pipe:1",
        check=False,
    )
    base, times = Fraction(1), []
    for line in run.stderr.decode(errors="replace").splitlines():
        if found := TIME_BASE.search(line):
            base = Fraction(int(found[1]), int(found[2]))
        elif (found := PICTURE.search(line)) and found[1] != "NOPTS":
            times.append(int(found[1]) * base * 1_000_000)
    rgb = np.frombuffer(run.stdout, np.uint8)
    count = len(rgb) // (width_px * height_px * 3)
    if not times or count != len(times):
        raise ReferenceFailed(
            f"{path.name}: {count} pictures, {len(times)} stamps: "
            + run.stderr.decode(errors="replace")[-300:]
        )
    return Pictures(times, rgb.reshape(count, height_px, width_px, 3))


def decode_sound(
    path: Path, stream: str, start_us: Fraction, num_samples: int, mix: str | None = None
) -> Heard:
    """The sound of `stream` on a clock that begins at `start_us` of the file's own time.

    `mix` is a filter that makes one channel of many. Blocks are placed at their own rate, and the
    whole is resampled by scipy; where the rate changes inside a stream, ffmpeg brings it to one
    rate first.
    """
    blocks, pcm = _blocks(path, stream, mix, None)
    if len({rate for _, rate, _ in blocks}) > 1:
        blocks, pcm = _blocks(path, stream, mix, SAMPLE_RATE)
    if not blocks or sum(count for *_, count in blocks) != len(pcm):
        raise ReferenceFailed(f"{path.name}: {len(pcm)} samples in {len(blocks)} blocks")
    rate = blocks[0][1]
    zero, slack = round(start_us * rate / 1_000_000), SLACK_S * rate
    size = -(-num_samples * rate // SAMPLE_RATE)
    track, filled, cursor, taken, first = np.zeros(size), 0, None, 0, None
    for stamp, _, count in blocks:
        wanted = None if stamp is None else stamp - zero
        if cursor is None or (wanted is not None and abs(wanted - cursor) > slack):
            cursor = wanted or 0
        first = cursor if first is None else first
        low, high = max(filled, cursor), min(size, cursor + count)
        if low < high:  # of two that overlap the later is cut, as ffmpeg's aresample does
            track[low:high] = pcm[taken + low - cursor : taken + high - cursor]
            filled = high
        cursor, taken = cursor + count, taken + count
    if rate != SAMPLE_RATE:
        track = resample_poly(track, SAMPLE_RATE, rate)
    return Heard(
        track[:num_samples] / 65536,
        Fraction((first + zero) * 1_000_000, rate),
        Fraction((cursor + zero) * 1_000_000, rate),
    )


def _blocks(path: Path, stream: str, mix: str | None, rate_hz: int | None):
    """(stamp in samples or None, rate in Hz, samples) of each block, and int32 [N] of them all."""
    # To integers: only then is the mix of channels scaled not to overflow.
    filters = [
        *([mix] if mix else []),
        *([f"aresample={rate_hz}"] if rate_hz else []),
        "aformat=sample_fmts=s32:channel_layouts=mono",
        "ashowinfo",
    ]
    run = ffmpeg(
        "-copyts",
        "-i",
        str(path),
        "-map",
        stream,
        "-af",
        ",".join(filters),
        "-f",
        "s32le",
        "pipe:1",
        check=False,
    )
    words = run.stderr.decode(errors="replace")
    blocks = [
        (None if m[1] == "NOPTS" else int(m[1]), int(m[2]), int(m[3]))
        for m in BLOCK.finditer(words)
    ]
    if not blocks:
        raise ReferenceFailed(f"{path.name}: no sound: {words[-300:]}")
    return blocks, np.frombuffer(run.stdout[: len(run.stdout) // 4 * 4], np.int32)
