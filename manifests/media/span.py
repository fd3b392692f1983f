"""Some frames of a `face.mp4`: from the key frame before them to the last of them, and no more.

Exact: a frame is what decoding the whole file gives at its place. The encoder (`encode.py`) makes
that possible: closed groups of 25, no B-frames, index is time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from manifests.media.encode import luma_plane

Window = tuple[slice, slice]
"""Rows and columns of a picture."""
WHOLE: Window = (slice(None), slice(None))
BLACK, WHITE = 16, 235
"""Luma as it is coded: BT.709 in the limited range."""
_FULL_RANGE = np.clip(np.rint((np.arange(256) - BLACK) * 255 / (WHITE - BLACK)), 0, 255).astype(
    np.uint8
)


def decode_rgb(
    content: bytes, first: int = 0, count: int | None = None, window: Window = WHOLE
) -> np.ndarray:
    """uint8 [count, h, w, 3] RGB of frames [first, first + count), to the end where that is None.

    The same as `decode_video(content)[first : first + count, *window]`: rows and columns are cut
    from pictures converted as a whole, so that no edge gets other colours. Raises ValueError where
    the file has fewer frames.
    """
    converter = VideoReformatter()
    return _stacked(
        [
            converter.reformat(
                frame,
                format="rgb24",
                src_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
                threads=1,
            ).to_ndarray()[window]
            for frame in _frames(content, first, count)
        ],
        first,
        count,
    )


def decode_grey(
    content: bytes, first: int = 0, count: int | None = None, window: Window = WHOLE
) -> np.ndarray:
    """uint8 [count, h, w] of the same frames from their luma alone, black 0 and white 255.

    Nothing outside the window is copied, and no colour is converted: saturated colours are as
    bright as BT.709 says, not as a mean of R, G and B.
    """
    cut = [luma_plane(frame)[window] for frame in _frames(content, first, count)]
    return np.take(_FULL_RANGE, _stacked(cut, first, count), mode="clip")


def _frames(content: bytes, first: int, count: int | None) -> Iterator[av.VideoFrame]:
    """The wanted frames, by index. What lies between the key frame and them is decoded and
    dropped."""
    with av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        rate, base, begin = stream.average_rate, stream.time_base, stream.start_time or 0
        if rate is None or base is None:
            raise ValueError("the video states no frame rate")
        ticks = 1 / (rate * base)  # of a frame
        first_pts = begin + round((first - Fraction(1, 2)) * ticks)
        if first:
            container.seek(begin + round(first * ticks), stream=stream)
        given = 0
        for frame in container.decode(stream):
            if frame.pts is None or frame.pts < first_pts:
                continue
            given += 1
            yield frame
            if given == count:
                return


def _stacked(pictures: list[np.ndarray], first: int, count: int | None) -> np.ndarray:
    if not pictures or (count is not None and len(pictures) != count):
        wanted = "any" if count is None else count
        raise ValueError(f"{wanted} frames from {first} on are wanted, there are {len(pictures)}")
    return np.stack(pictures)
