"""Encoding what lands in a sample, so that every reader agrees: index is time.

`face.mp4`: H.264 High, yuv420p, BT.709 tagged and converted, closed GOPs of 25, no B-frames,
one thread (x264's bytes depend on the thread count). `audio.flac`: 16 kHz mono.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from manifests.clock import SAMPLE_RATE

MIN_PSNR_DB = 42.0
FIRST_CRF, LEAST_CRF = 18.0, 3.0
DB_A_STEP, SPARE_DB = 0.64, 0.1
"""What a lower constant rate factor gains in PSNR, measured over clips of faces between 15 and 18,
and what is aimed at beyond the floor, so that a second try seldom misses it."""
PRESET = "veryfast"
AVX_512F = 13  # OpenCV's number of it, CV_CPU_AVX_512F, to which its Python gives no name


def encode_video(
    frames: Sequence[np.ndarray], rate: int = 25, min_psnr_db: float = MIN_PSNR_DB
) -> tuple[bytes, float]:
    """MP4 bytes and the luma PSNR in dB of the decoded result against `frames`.

    `frames`: uint8 [H, W, 3] RGB, even sides. The constant rate factor is lowered until the
    PSNR reaches `min_psnr_db`. Raises ValueError for no frames.
    """
    return encode_from(frames, FIRST_CRF, rate, min_psnr_db)[:2]


def encode_from(
    frames: Sequence[np.ndarray], crf: float, rate: int = 25, min_psnr_db: float = MIN_PSNR_DB
) -> tuple[bytes, float, float]:
    """As `encode_video`, beginning at `crf`; also the factor that such pictures need.

    Given to the next clip of the same face, that spares it the first, vain try. `frames` may be
    planes too, uint8 [1.5 H, W]: 4:2:0 in BT.709 of limited range, as they are to be encoded.
    """
    if not len(frames):
        raise ValueError("a video needs at least one frame")
    converter = VideoReformatter()
    pictures = []
    for frame in frames:
        if frame.ndim == 2:
            pictures.append(av.VideoFrame.from_ndarray(frame, format="yuv420p"))
            continue
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        pictures.append(
            converter.reformat(
                picture,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                threads=1,
            )
        )
    wanted = [luma_plane(p) for p in pictures]
    while True:
        content = _encode(pictures, rate, crf)
        psnr = luma_psnr_db(wanted, _decoded_luma(content))
        needed = _factor_for(crf, psnr, min_psnr_db)
        if psnr >= min_psnr_db or crf <= LEAST_CRF:
            return content, psnr, needed
        crf = needed


def _factor_for(crf: float, psnr_db: float, wanted_db: float) -> float:
    """The largest factor, in tenths, that reaches a PSNR as far as one encoding tells."""
    gain = (psnr_db - wanted_db - SPARE_DB) / DB_A_STEP
    return min(max(math.floor(10 * (crf + gain)) / 10, LEAST_CRF), FIRST_CRF)


def x264_params() -> str:
    """x264's settings under which the same pictures give the same bytes.

    One thread, for the bytes depend on the count. And none of x264's AVX-512 code: with B-frames
    and rows of other than whole multiples of 128 pixels, its lookahead reads what happens to lie
    behind them (5 results from 16 encodes of one picture series). AVX2 gives the bytes that
    AVX-512 gives where both are right. Named only where AVX-512 is found: x264 believes the name.
    """
    import cv2

    params = "threads=1:lookahead-threads=1:sliced-threads=0:deterministic=1"
    return params + ":asm=avx2" if cv2.checkHardwareSupport(AVX_512F) else params


def _encode(pictures: Sequence[av.VideoFrame], rate: int, crf: float) -> bytes:
    # A real file, because faststart reads back what it wrote: into a buffer it fails in silence.
    with tempfile.TemporaryDirectory(prefix="yld-") as folder:
        path = Path(folder) / "face.mp4"
        _encode_to(path, pictures, rate, crf)
        return path.read_bytes()


def _encode_to(path: Path, pictures: Sequence[av.VideoFrame], rate: int, crf: float) -> None:
    options = {"movflags": "+faststart", "fflags": "+bitexact", "use_editlist": "0"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream(
            "libx264",
            rate=rate,
            options={
                "preset": PRESET,
                "profile": "high",
                "crf": str(crf),
                "bf": "0",
                "g": "25",
                "keyint_min": "25",
                "sc_threshold": "0",
                "flags": "+cgop+bitexact",
                "x264-params": x264_params(),
            },
        )
        stream.width, stream.height, stream.pix_fmt = (
            pictures[0].width,
            pictures[0].height,
            "yuv420p",
        )
        context = stream.codec_context
        context.thread_count = 1
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries, context.color_trc = 1, 1
        for index, picture in enumerate(pictures):
            picture.pts, picture.time_base = index, Fraction(1, rate)
            picture.pict_type = 0
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def luma_plane(frame: av.VideoFrame) -> np.ndarray:
    """uint8 [H, W] of a picture whose first plane is luma; it lies in the picture's memory."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def _decoded_luma(content: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(content), "r") as container:
        container.streams.video[0].thread_type = "NONE"
        return [luma_plane(f).copy() for f in container.decode(video=0)]


def luma_psnr_db(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """PSNR in dB of two runs of luma pictures, uint8 [H, W], over all of them.

    Raises ValueError if the counts differ. Identical pictures give 99.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} pictures against {len(second)}")
    total, count = 0, 0
    for a, b in zip(first, second, strict=True):
        difference = a.astype(np.int16) - b
        total += int(np.square(difference, dtype=np.int32).sum())
        count += a.size
    return 99.0 if total == 0 else float(10 * np.log10(255**2 * count / total))


def encode_flac(samples: np.ndarray, rate: int = SAMPLE_RATE) -> bytes:
    """FLAC bytes of int16 [N] mono."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("flac", rate=rate, options={"flags": "+bitexact"})
        stream.layout, stream.format = "mono", "s16"
        stream.codec_context.thread_count = 1
        size = 4096
        for start in range(0, len(samples), size):
            block = np.ascontiguousarray(samples[None, start : start + size], np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def decode_video(content: bytes) -> np.ndarray:
    """uint8 [T, H, W, 3] RGB, by index."""
    converter, frames = VideoReformatter(), []
    with av.open(io.BytesIO(content), "r") as container:
        container.streams.video[0].thread_type = "NONE"
        for frame in container.decode(video=0):
            frames.append(
                converter.reformat(
                    frame,
                    format="rgb24",
                    src_colorspace=Colorspace.ITU709,
                    src_color_range=ColorRange.MPEG,
                    dst_color_range=ColorRange.JPEG,
                    threads=1,
                ).to_ndarray()
            )
    return np.stack(frames) if frames else np.zeros((0, 0, 0, 3), np.uint8)


def flac_rate(content: bytes) -> int:
    """Samples a second of a FLAC."""
    with av.open(io.BytesIO(content), "r") as container:
        return container.streams.audio[0].rate


def decode_flac(content: bytes) -> np.ndarray:
    """int16 [N] of a mono FLAC."""
    with av.open(io.BytesIO(content), "r") as container:
        blocks = [f.to_ndarray().reshape(-1) for f in container.decode(audio=0)]
    return np.concatenate(blocks).astype(np.int16) if blocks else np.zeros(0, np.int16)
