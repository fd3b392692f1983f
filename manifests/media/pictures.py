"""Pictures on the canonical clock: for each frame the source frame nearest in time.

One thread, one scaler per pass (PyAV rebuilds its own per call otherwise, which costs more
than the decoding). Frames are yielded as they are decoded, so a long file needs no memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from manifests.clock import Clock
from manifests.media.hdr import to_sdr
from manifests.media.needed import Needed, can_leave_out
from manifests.media.orientation import upright
from manifests.media.shrinking import is_halved_to, resized
from manifests.media.streams import open_media, packets_of, stream_of
from manifests.media.times import (
    PictureTimes,
    decoded,
    decoded_of,
    period_us_of,
    repairs_of,
    stamp_us,
)
from manifests.paths import as_path
from manifests.records import Video

SEEKABLE = ("mov", "mp4", "matroska", "webm")
SEEK_MARGINS_US = (250_000, 1_000_000)
"""How long before the wanted time a key frame is asked for. Indices are of decoding times, which
run ahead of those of showing by some frames."""
RUN_BYTES = 20_000_000
"""Decoded pictures that wait in a run (`in_runs`): 14 of 720p, one of 2160p."""

_counted: dict[int, float] = {}
"""Seconds that each thread has decoded, by its number."""


def decoded_seconds(thread: int | None = None) -> float:
    """Seconds of source video that this thread, or another by its number, has decoded so far."""
    return _counted.get(threading.get_ident() if thread is None else thread, 0.0)


def resolve(media_path: str, root: str | Path) -> Path:
    """A record's media path as a path that opens: absolute stays, else below `root`."""
    return Path(root) / as_path(media_path)


class Picture:
    """One canonical frame, converted only to what is asked for.

    Frames that share a source picture share one Picture.
    """

    def __init__(self, frame: av.VideoFrame, converters: dict, video: Video) -> None:
        self._frame, self._converters, self._video = frame, converters, video
        self._sizes: dict[tuple[int, int], np.ndarray] = {}

    def rgb(self, max_side_px: int | None = None) -> np.ndarray:
        """uint8 [H, W, 3] RGB, upright, square pixels, BT.709."""
        return self._convert(max_side_px, "rgb24")

    def luma(self, max_side_px: int | None = None) -> np.ndarray:
        """uint8 [H, W] brightness, upright, square pixels; limited range stays limited.

        Planar 8-bit video already holds it: nothing is converted then, only resized. Not to be
        written into, nor always contiguous.
        """
        video = self._video
        if (
            video.is_hdr
            or not self._frame.format.name.startswith(("yuv4", "yuvj4", "gray"))
            or (self._frame.format.components[0].bits != 8)
        ):
            return self._convert(max_side_px, "gray")
        picture = self._light(self._coded_size(max_side_px))
        if not (video.is_mirrored or video.rotation_deg):
            return picture  # a view of the decoder's own memory, where that was asked for
        return np.ascontiguousarray(upright(picture, video.is_mirrored, video.rotation_deg))

    def _light(self, size: tuple[int, int]) -> np.ndarray:
        """The first plane in this size: the same for `luma` and `small_rgb`."""
        if size not in self._sizes:
            whole = _plane(self._frame, 0)
            # What the same halvings have made already is not made again.
            on_the_way = [
                made for made in self._sizes.values() if is_halved_to(whole.shape, made.shape, size)
            ]
            self._sizes[size] = resized(min(on_the_way, key=np.size, default=whole), size)
        return self._sizes[size]

    def small_rgb(self, max_side_px: int) -> np.ndarray:
        """uint8 [H, W, 3] RGB, upright, square pixels: as `rgb`, of colours that are means over
        areas. For pictures much smaller than the video's, where converting all of it first costs
        more than all else."""
        frame, video = self._frame, self._video
        if (
            video.is_hdr
            or not frame.format.name.startswith(("yuv4", "yuvj4"))
            or any(part.bits != 8 for part in frame.format.components)
        ):
            return self._convert(max_side_px, "rgb24")
        size = self._coded_size(max_side_px)
        colours = cv2.merge(
            [self._light(size), *(resized(_plane(frame, number), size) for number in (1, 2))]
        )
        if "matrix" not in self._converters:
            self._converters["matrix"] = _to_rgb(*_colours_of(frame, video))
        picture = cv2.transform(colours, self._converters["matrix"])
        return np.ascontiguousarray(upright(picture, video.is_mirrored, video.rotation_deg))

    def planes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Brightness uint8 [H, W] and both colours [H / 2, W / 2] as the decoder gives them, where
        that is the picture itself: planar 4:2:0 of 8 bits, upright, square pixels, no HDR, even
        sides. Else None. Not to be written into."""
        frame, video = self._frame, self._video
        if (
            frame.format.name not in ("yuv420p", "yuvj420p")
            or video.is_hdr
            or video.is_mirrored
            or video.rotation_deg
            or (frame.width, frame.height) != (video.width_px, video.height_px)
            or frame.width % 2
            or frame.height % 2
        ):
            return None
        return _plane(frame, 0), _plane(frame, 1), _plane(frame, 2)

    def to_bt709(self) -> np.ndarray | None:
        """float32 [3, 4] from what `planes` holds to BT.709 of limited range; None where it is
        that already."""
        space, full = _colours_of(self._frame, self._video)
        if space == int(Colorspace.ITU709) and not full:
            return None
        square = np.vstack([_to_rgb(int(Colorspace.ITU709), False), [0, 0, 0, 1]])
        own = np.vstack([_to_rgb(space, full), [0, 0, 0, 1]])
        return (np.linalg.inv(square.astype(np.float64)) @ own)[:3].astype(np.float32)

    def _coded_size(self, max_side_px: int | None) -> tuple[int, int]:
        """Width and height before the picture is set upright."""
        width, height = scaled_size(self._video, max_side_px)
        return (height, width) if self._video.rotation_deg in (90, 270) else (width, height)

    def _convert(self, max_side_px: int | None, pixel_format: str) -> np.ndarray:
        key = (max_side_px, pixel_format)
        if key not in self._converters:
            self._converters[key] = _Converter(self._video, max_side_px, pixel_format)
        return self._converters[key](self._frame)


def _plane(frame: av.VideoFrame, number: int) -> np.ndarray:
    """A view uint8 [H, W] of one plane, which keeps the frame alive."""
    plane = frame.planes[number]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def whole_side(video: Video, about_px: int) -> int:
    """The longer side in px of a picture shrunk by a whole factor to about `about_px`.

    By another factor each of its pixels would be a weighted mean of several, which takes longer
    than to decode them.
    """
    side = max(video.width_px, video.height_px)
    return side // max(1, round(side / about_px))


def scaled_size(video: Video, max_side_px: int | None) -> tuple[int, int]:
    """Width and height of upright pictures at most `max_side_px` on the longer side."""
    width, height = video.width_px, video.height_px
    scale = 1.0 if max_side_px is None else min(1.0, max_side_px / max(width, height))
    return max(2, round(width * scale)), max(2, round(height * scale))


def iter_frames(
    video: Video,
    path: str | Path | None = None,
    start_frame: int = 0,
    end_frame: int | None = None,
    max_side_px: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Canonical frames `[start_frame, end_frame)` in order, as (k, uint8 [H, W, 3] RGB).

    The same array may be yielded for several k: do not write into it.
    """
    shown: tuple[Picture, np.ndarray] | None = None
    for frame, picture in iter_pictures(video, path, start_frame, end_frame):
        if shown is None or picture is not shown[0]:
            shown = picture, picture.rgb(max_side_px)
        yield frame, shown[1]


def iter_pictures(
    video: Video,
    path: str | Path | None = None,
    start_frame: int = 0,
    end_frame: int | None = None,
) -> Iterator[tuple[int, Picture]]:
    """Canonical frames `[start_frame, end_frame)` in order, as (k, Picture).

    A gap inside the video holds the frame that is nearest.
    """
    path = video.media_path if path is None else path
    end_frame = video.num_frames if end_frame is None else min(end_frame, video.num_frames)
    if not 0 <= start_frame < end_frame:
        return
    clock = Clock(video.zero_us, Fraction(video.frame_rate))
    converters: dict = {}
    next_frame = start_frame
    held: tuple[int, av.VideoFrame] | None = None  # with its time in us
    for pts, frame in _frames_from(video, path, clock, start_frame):
        if held is not None:
            held_pts, held_frame = held
            if pts <= held_pts:
                continue
            last = min(clock.last_frame_of(held_pts, pts), end_frame - 1)
            if last >= next_frame:
                picture = Picture(held_frame, converters, video)
                for index in range(next_frame, last + 1):
                    yield index, picture
                next_frame = last + 1
            if next_frame >= end_frame:
                return
        held = pts, frame
    if held is not None:
        picture = Picture(held[1], converters, video)
        for index in range(next_frame, end_frame):
            yield index, picture


def in_runs(pictures: Iterator[tuple[int, Picture]], video: Video) -> Iterator[tuple[int, Picture]]:
    """The same, but several are decoded one after another before the first is handed out: who
    looks long at each drives what the decoder works on from the processor's caches. For passes
    that go to the end; who stops early has decoded in vain."""
    length = max(1, RUN_BYTES * 2 // (3 * video.width_px * video.height_px))
    while run := list(islice(pictures, length)):
        yield from run


def iter_shown(video: Video, path: str | Path | None = None) -> Iterator[tuple[int, Picture]]:
    """Every picture of the source, once, in order, as (us after canonical zero, Picture): at its
    own rate and times, whatever the canonical ones are. One that is stamped no later than the one
    before is not shown, as everywhere."""
    path = video.media_path if path is None else path
    converters: dict = {}
    last_us: int | None = None
    for time_us, frame in _decode(video, path, None):
        if last_us is not None and time_us <= last_us:
            continue
        last_us = time_us
        yield time_us - video.zero_us, Picture(frame, converters, video)


def _frames_from(
    video: Video, path: str | Path, clock: Clock, start_frame: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decoded frames from some point not later than that of `start_frame`, with their times: all
    that `clock` shows from there on."""
    if video.time_source != "packets":  # pictures are counted there, and none may be missing
        yield from _decode(video, path, None)
        return
    target_us = int(clock.time_us(start_frame))
    some_do = can_leave_out(video.container, video.video_codec)

    def needed() -> Needed | None:
        return Needed(clock, start_frame) if some_do else None

    for margin in SEEK_MARGINS_US if _is_seekable(video) else ():
        if target_us <= video.zero_us + margin:
            break
        frames = _decode(video, path, target_us - margin, needed())
        first = next(frames, None)
        if first is not None and first[0] <= target_us:
            yield first
            yield from frames
            return
        frames.close()  # the index lied: begin farther before
    yield from _decode(video, path, None, needed())


def _is_seekable(video: Video) -> bool:
    return any(name in video.container.split(",") for name in SEEKABLE)


def _decode(
    video: Video, path: str | Path, seek_us: int | None, needed: Needed | None = None
) -> Generator[tuple[int, av.VideoFrame], None, None]:
    """Pictures with their times: all, or at least those that are `needed`."""
    period_us = period_us_of(video.source_fps)
    place = _placing(video, period_us)
    with open_media(path) as container:
        stream = stream_of(container, video.video_stream)
        if seek_us is not None:
            container.seek(int(seek_us / 1_000_000 / stream.time_base), stream=stream)
        if needed is None:
            frames = decoded(container, stream)
        else:
            judged = needed.judged(packets_of(container, stream))
            frames = decoded_of(stream, judged, needed.stop)
        for frame in frames:
            _counted[threading.get_ident()] = decoded_seconds() + period_us / 1e6
            time_us = place(frame)
            if seek_us is None and time_us < video.zero_us:
                continue
            yield time_us, frame


def _placing(video: Video, period_us: int) -> Callable[[av.VideoFrame], int]:
    """The rule for this video's pictures: as the probe found their times."""
    last_us: int | None = None
    ordered = (
        None
        if video.time_source == "packets"
        else PictureTimes(period_us, video.time_source == "best_effort", repairs_of(video))
    )

    def place(frame: av.VideoFrame) -> int:
        nonlocal last_us
        base = frame.time_base
        if ordered is not None:
            time_us = ordered(stamp_us(frame.pts, base), stamp_us(frame.dts, base))
        else:
            time_us = stamp_us(frame.pts if frame.pts is not None else frame.dts, base)
        if time_us is None:
            time_us = video.zero_us if last_us is None else last_us + period_us
        last_us = time_us
        return time_us

    return place


def _colours_of(frame: av.VideoFrame, video: Video) -> tuple[int, bool]:
    """The number of its matrix, and whether its brightness has the full range."""
    space = int(frame.colorspace)
    if space in (0, 2, 3):  # RGB, unspecified, reserved: as players guess
        is_high_definition = video.height_px >= 720 or video.width_px >= 1280
        space = int(Colorspace.ITU709 if is_high_definition else Colorspace.ITU601)
    return space, int(frame.color_range) == int(ColorRange.JPEG) or "yuvj" in frame.format.name


def _to_rgb(space: int, full: bool) -> np.ndarray:
    """float32 [3, 4] from Y, Cb, Cr of 0..255 to R, G, B (ITU-R BT.709 and BT.601, section 2.5).

    Matrices of other numbers are taken for BT.709's.
    """
    red, blue = (0.299, 0.114) if space in (4, 5, 6, 7) else (0.2126, 0.0722)
    green = 1 - red - blue
    light, colour = (1.0, 1.0) if full else (255 / 219, 255 / 224)
    matrix = np.array(
        [
            [light, 0, 2 * (1 - red) * colour],
            [
                light,
                -2 * blue * (1 - blue) / green * colour,
                -2 * red * (1 - red) / green * colour,
            ],
            [light, 2 * (1 - blue) * colour, 0],
        ]
    )
    shift = -matrix @ [0 if full else 16, 128, 128]
    return np.c_[matrix, shift].astype(np.float32)


class _Converter:
    """One scaler for a pass: colour, size, sample aspect, rotation, HDR."""

    def __init__(self, video: Video, max_side_px: int | None, pixel_format: str) -> None:
        self.format, self.video = pixel_format, video
        self.rotation, self.is_mirrored = video.rotation_deg, video.is_mirrored
        width, height = scaled_size(video, max_side_px)
        self.size = (height, width) if self.rotation in (90, 270) else (width, height)
        self.is_hdr = video.is_hdr
        self.reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        space, full = _colours_of(frame, self.video)
        same = (frame.width, frame.height) == self.size
        picture = self.reformatter.reformat(
            frame,
            self.size[0],
            self.size[1],
            "rgb48le" if self.is_hdr else self.format,
            src_colorspace=space,
            interpolation=Interpolation.BILINEAR if same else Interpolation.FAST_BILINEAR,
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        ).to_ndarray()
        if self.is_hdr:
            picture = to_sdr(picture, int(frame.color_trc))
            if self.format == "gray":
                picture = (picture @ np.array([0.2126, 0.7152, 0.0722])).astype(np.uint8)
        return np.ascontiguousarray(upright(picture, self.is_mirrored, self.rotation))
