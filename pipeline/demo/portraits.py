"""Photo-real talking heads from two public-domain portraits that come in installed packages.

Eileen Collins (scikit-image) and Grace Hopper (matplotlib), both NASA and US Navy pictures. A
frame is the portrait with the mouth opened by a warp: the lower lip goes down, the upper a
little up, what appears between them is dark with a hint of teeth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stages.backends.dlib_faces import Dlib68, DlibHog

SIZE_PX = 448


@dataclass(frozen=True)
class Portrait:
    """A square crop, uint8 [448, 448, 3] RGB, and its 68 points."""

    name: str
    picture: np.ndarray
    points: np.ndarray

    @property
    def eye_distance_px(self) -> float:
        p = self.points
        return float(np.linalg.norm(p[42:48].mean(0) - p[36:42].mean(0)))


def load_portraits() -> list[Portrait]:
    """Collins and Hopper, framed alike. Raises RuntimeError if a face is not found."""
    import matplotlib.cbook
    import skimage.data

    hopper = cv2.imread(str(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return [
        _frame("collins", skimage.data.astronaut()[..., :3]),
        _frame("hopper", np.asarray(hopper)[..., ::-1]),
    ]


def _frame(name: str, picture: np.ndarray) -> Portrait:
    picture = np.ascontiguousarray(picture)
    boxes, scores = DlibHog().detect([picture])[0]
    if not len(boxes):
        raise RuntimeError(f"no face was found in the portrait of {name}")
    points = Dlib68().fit(picture, boxes[[int(np.argmax(scores))]])[0]
    eyes = (points[36:42].mean(0), points[42:48].mean(0))
    scale = 96.0 / float(np.linalg.norm(eyes[1] - eyes[0]))
    centre = (eyes[0] + eyes[1]) / 2
    matrix = np.array(
        [
            [scale, 0, SIZE_PX / 2 - scale * centre[0]],
            [0, scale, 0.40 * SIZE_PX - scale * centre[1]],
        ]
    )
    framed = cv2.warpAffine(
        picture,
        matrix,
        (SIZE_PX, SIZE_PX),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return Portrait(name, framed, points @ matrix[:, :2].T + matrix[:, 2])


def render(
    portrait: Portrait, opening: float, spread: float, sway: tuple[float, float, float]
) -> np.ndarray:
    """One frame: `opening` of the lips in eye distances, `spread` of the corners (1 at rest),
    `sway` of the head (x px, y px, degrees). uint8 [448, 448, 3] RGB."""
    p, unit = portrait.points, portrait.eye_distance_px
    left, right = p[48], p[54]
    line_y = float(p[[61, 62, 63, 65, 66, 67], 1].mean())
    centre_x, half = float((left[0] + right[0]) / 2), float((right[0] - left[0]) / 2) * 1.02
    ys, xs = np.mgrid[0:SIZE_PX, 0:SIZE_PX].astype(np.float32)
    u = (xs - centre_x) / (half * spread)
    bell = np.clip(1 - u**2, 0, None) ** 0.8
    # The cheeks follow beyond the corners, softly.
    wide = np.exp(-0.5 * (u / 0.9) ** 2)
    down = max(0.0, opening) * unit * 0.8 * bell
    up = max(0.0, opening) * unit * 0.2 * bell
    jaw = max(0.0, opening) * unit * 0.8 * wide
    below, above = 1.25 * unit, 0.42 * unit
    gap_low, gap_high = line_y + down, line_y - up
    lower = np.maximum(down, jaw * np.clip((ys - line_y) / (0.5 * unit), 0, 1))
    depth = ys - line_y - lower
    source_low = line_y + depth * below / np.maximum(below - lower, 1)
    source_low = np.where(ys - line_y > below, ys, source_low)
    height = gap_high - ys
    source_high = line_y - height * above / np.maximum(above - up, 1)
    source_high = np.where(line_y - ys > above, ys, source_high)
    map_y = np.where(ys >= line_y, np.maximum(source_low, line_y), np.minimum(source_high, line_y))
    reach = np.exp(-0.5 * ((ys - line_y) / (0.5 * unit)) ** 2) * np.exp(-0.5 * (u / 1.6) ** 2)
    map_x = xs + (centre_x - xs) * (1 - 1 / spread) * reach
    frame = cv2.remap(
        portrait.picture,
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    inside = ((ys > gap_high) & (ys < gap_low) & (np.abs(u) < 1)).astype(np.float32)
    blurred = cv2.GaussianBlur(inside, (0, 0), 1.2)[..., None]
    cavity = np.empty_like(frame, np.float32)
    cavity[:] = (46, 18, 18)
    teeth = (ys < gap_high + 0.07 * unit) & (np.abs(u) < 0.62) & (down + up > 0.1 * unit)
    cavity[teeth] = (196, 184, 172)
    mouth = cv2.GaussianBlur(cavity, (0, 0), 1.0)
    mixed = (frame * (1 - blurred) + mouth * blurred).astype(np.uint8)
    move = cv2.getRotationMatrix2D((SIZE_PX / 2, SIZE_PX / 2), sway[2], 1.0)
    move[:, 2] += np.array(sway[:2])
    return cv2.warpAffine(
        mixed, move, (SIZE_PX, SIZE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
