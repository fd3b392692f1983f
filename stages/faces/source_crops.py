"""Face crops of a track, cut from the source's own frames as SyncNet and Light-ASD expect them.

Both take a square about the tracked box, set lower than the box so that the chin is inside
(joonson/syncnet_python run_pipeline.py and Junhua-Liao/Light-ASD Columbia_test.py, both MIT):
half side s and centre, median-filtered over 13 frames; rows y - s to y + 1.8 s, columns
x - 1.4 s to x + 1.4 s, beyond the frame grey 110; bilinear to 224 px. SyncNet sees that in
colour, Light-ASD the middle 112 px in grey.

The published filter pads with zeros, which draws size and centre of a moving face towards
the least of the first and last six frames; `repair_ends` pads with the end values instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import median_filter

from manifests.media.pictures import iter_frames
from manifests.records import Video

SIDE_PX = 224
GRAY_SIDE_PX = 112
MARGIN = 0.40
FILTER_FRAMES = 13
GREY = 110


def smooth_squares(boxes: np.ndarray, repair_ends: bool = False) -> np.ndarray:
    """Boxes xyxy [T, 4] in px -> float64 [T, 3]: half side s, centre x, centre y, filtered.

    Raises ValueError for boxes that are not [T, 4], not finite or have no area.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be [T, 4], not {list(boxes.shape)}")
    if not np.isfinite(boxes).all() or not (boxes[:, 2:] > boxes[:, :2]).all():
        raise ValueError("every frame needs a finite box with an area; see fill_boxes")
    half = (boxes[:, 2:] - boxes[:, :2]).max(1) / 2
    squares = np.column_stack([half, (boxes[:, :2] + boxes[:, 2:]) / 2])
    return median_filter(
        squares, (FILTER_FRAMES, 1), mode="nearest" if repair_ends else "constant", cval=0.0
    )


def fill_boxes(boxes: np.ndarray) -> np.ndarray:
    """Boxes [T, 4] with NaN rows -> without: linear between neighbours, held at the ends.

    Raises ValueError if no row is known.
    """
    boxes = np.array(boxes, np.float64)
    known = np.flatnonzero(np.isfinite(boxes).all(1))
    if not len(known):
        raise ValueError("no frame of the track has a box")
    frames = np.arange(len(boxes))
    return np.column_stack([np.interp(frames, known, column[known]) for column in boxes.T])


def crop(frame: np.ndarray, square: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] and (s, x, y) in its px -> uint8 [224, 224, 3], same colours.

    Bounds are cut to whole pixels after the pad is added, as published.
    """
    half, x, y = (float(v) for v in square)
    pad = int(half * (1 + 2 * MARGIN))
    x, y = x + pad, y + pad
    top, bottom = int(y - half), int(y + half * (1 + 2 * MARGIN))
    left, right = int(x - half * (1 + MARGIN)), int(x + half * (1 + MARGIN))
    # A face of a pixel or two would leave nothing to resize.
    bottom, right = max(bottom, top + 1), max(right, left + 1)
    picture = np.full((bottom - top, right - left, 3), GREY, np.uint8)
    height, width = frame.shape[:2]
    top, left, bottom, right = top - pad, left - pad, bottom - pad, right - pad
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        picture[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
            frame[rows, columns]
        )
    return cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)


def gray_middle(picture: np.ndarray) -> np.ndarray:
    """RGB crop uint8 [224, 224, 3] -> uint8 [112, 112], BT.601: what Light-ASD sees."""
    edge = (SIDE_PX - GRAY_SIDE_PX) // 2
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[edge:-edge, edge:-edge]


def iter_crops(
    video: Video,
    path: str | Path,
    start_frame: int,
    boxes: np.ndarray,
    repair_ends: bool = False,
) -> Iterator[np.ndarray]:
    """RGB crops uint8 [224, 224, 3] of the T canonical frames from `start_frame` on.

    `boxes` xyxy [T, 4] in source display pixels, as in a track's side file; rows of NaN are
    interpolated. One frame is held at a time; SyncNet takes this iterator as it is. Raises
    ValueError for boxes without a known row, for frames beyond the video, and for a video
    that ends early.
    """
    squares = smooth_squares(fill_boxes(boxes), repair_ends)
    end_frame = start_frame + len(squares)
    if start_frame < 0 or end_frame > video.num_frames:
        raise ValueError(
            f"frames {start_frame}..{end_frame} are not in a video of {video.num_frames}"
        )
    count = 0
    for frame, picture in iter_frames(video, path, start_frame, end_frame):
        yield crop(picture, squares[frame - start_frame])
        count += 1
    if count != len(squares):
        raise ValueError(f"{path} gave {count} of {len(squares)} frames")


def gray_crops(
    video: Video,
    path: str | Path,
    start_frame: int,
    boxes: np.ndarray,
    repair_ends: bool = False,
) -> np.ndarray:
    """uint8 [T, 112, 112] for Light-ASD: 12.5 kB a frame. See `iter_crops`."""
    output = np.empty((len(boxes), GRAY_SIDE_PX, GRAY_SIDE_PX), np.uint8)
    for row, picture in enumerate(iter_crops(video, path, start_frame, boxes, repair_ends)):
        output[row] = gray_middle(picture)
    return output
